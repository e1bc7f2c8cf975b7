import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { BerthError, invalid } from '../../base/errors.ts';
import { makeDirectory, readLimited, writeAtomic } from '../../base/files.ts';
import { Flights } from '../../base/locks.ts';
import type { RunRequest, RunResult } from '../../shim/agent.ts';
import type { OciSeccomp, OciSyscallRule } from '../../shim/oci.ts';

/** The part of the agent that compiling needs. */
export interface Runner {
  run(request: RunRequest): Promise<RunResult>;
}

/** What `berth-seccomp --version` prints: another output for the same input gets another number. */
export const toolVersion = '1';

const EPERM = 1;
const instructionBytes = 8;
const programLimit = 4096 * instructionBytes; // BPF_MAXINSNS

const actions: Readonly<Record<string, string>> = {
  SCMP_ACT_ALLOW: 'allow',
  SCMP_ACT_ERRNO: 'errno',
  SCMP_ACT_KILL: 'kill_thread',
  SCMP_ACT_KILL_THREAD: 'kill_thread',
  SCMP_ACT_KILL_PROCESS: 'kill_process',
  SCMP_ACT_TRAP: 'trap',
  SCMP_ACT_LOG: 'log',
  SCMP_ACT_TRACE: 'trace',
};
export const seccompActions: ReadonlySet<string> = new Set(Object.keys(actions));

const comparisons: Readonly<Record<string, string>> = {
  SCMP_CMP_EQ: 'eq',
  SCMP_CMP_NE: 'ne',
  SCMP_CMP_LT: 'lt',
  SCMP_CMP_LE: 'le',
  SCMP_CMP_GE: 'ge',
  SCMP_CMP_GT: 'gt',
  SCMP_CMP_MASKED_EQ: 'masked',
};
export const seccompComparisons: ReadonlySet<string> = new Set(Object.keys(comparisons));

const known = (table: Readonly<Record<string, string>>, name: string, what: string): string => {
  const word = Object.hasOwn(table, name) ? table[name] : undefined;
  if (word === undefined)
    throw invalid(`seccomp profile: ${what} ${JSON.stringify(name.slice(0, 64))} is not supported`);
  return word;
};

const number = (value: number, what: string, limit: number = Number.MAX_SAFE_INTEGER): number => {
  if (!Number.isInteger(value) || value < 0 || value > limit)
    throw invalid(`seccomp profile: ${what} ${value} is out of range`);
  return value;
};

const actionWords = (name: string, errno: number | undefined): string => {
  const action = known(actions, name, 'action');
  // A tracer gets 16 bits with the call.
  const limit = { errno: 4095, trace: 65_535 }[action];
  return `${action} ${limit === undefined ? 0 : number(errno ?? EPERM, 'errno', limit)}`;
};

type Argument = NonNullable<OciSyscallRule['args']>[number];

const argumentWords = ({ index, op, value, valueTwo = 0 }: Argument): string =>
  ` ${number(index, 'argument', 5)} ${known(comparisons, op, 'comparison')} ${number(value, 'value')} ${number(valueTwo, 'value')}`;

/** Conditions on different arguments must all hold; two on the same one are alternatives (the OCI runtimes' reading). */
const conditionSets = (args: readonly Argument[]): string[] =>
  new Set(args.map(({ index }) => index)).size < args.length
    ? args.map(argumentWords)
    : [args.map(argumentWords).join('')];

const ruleLines = (rule: OciSyscallRule): string[] => {
  const action = actionWords(rule.action, rule.errnoRet);
  const sets = conditionSets(rule.args ?? []);
  for (const name of rule.names)
    if (!/^[a-z0-9_]{1,64}$/i.test(name))
      throw invalid(`seccomp profile: syscall ${JSON.stringify(name.slice(0, 64))}: not a name`);
  return rule.names.flatMap((name) => sets.map((conditions) => `rule ${action} ${name}${conditions}`));
};

const archLine = (name: string): string => {
  const match = /^SCMP_ARCH_([A-Z0-9_]{1,32})$/.exec(name);
  if (match === null)
    throw invalid(`seccomp profile: architecture ${JSON.stringify(name.slice(0, 64))}: not SCMP_ARCH_…`);
  return `arch ${match[1]?.toLowerCase()}`;
};

/** The profile as berth-seccomp reads it. Errors: `invalid-argument` names what it does not know. */
export const seccompInput = (profile: OciSeccomp): string =>
  [
    `default ${actionWords(profile.defaultAction, profile.defaultErrnoRet)}`,
    ...(profile.architectures ?? []).map(archLine),
    ...profile.syscalls.flatMap(ruleLines),
    'end\n',
  ].join('\n');

const isProgram = (bytes: Uint8Array): boolean =>
  bytes.length > 0 && bytes.length <= programLimit && bytes.length % instructionBytes === 0;

const cached = async (path: string): Promise<Uint8Array | undefined> => {
  const bytes = await readLimited(path, programLimit).catch(() => undefined);
  // A broken file is as good as none: it is compiled again.
  return bytes !== undefined && isProgram(bytes) ? bytes : undefined;
};

const compile = async (runner: Runner, tool: string, input: string): Promise<Uint8Array> => {
  const result = await runner.run({
    argv: [tool],
    stdin: Buffer.from(input),
    timeoutMs: 30_000,
    name: 'berth-seccomp',
  });
  if (result.code !== 0 || result.signal !== 0) {
    const cause = result.stderr.toString().trim() || `ended with ${result.signal || result.code}`;
    throw new BerthError('invalid-argument', cause);
  }
  if (!isProgram(result.stdout))
    throw new BerthError(
      'resource-exhausted',
      `compile seccomp profile: ${result.stdout.length} bytes, the kernel takes ${programLimit}`,
    );
  return result.stdout;
};

const flights = new Flights<Uint8Array>();

/**
 * The profile as BPF (`struct sock_filter` each). `tool` is the path of berth-seccomp; programs are kept in `cacheDir`
 * by the hash of their input, and callers that ask for the same at the same time share one run.
 */
export const compileSeccomp = (
  runner: Runner,
  tool: string,
  cacheDir: string,
  profile: OciSeccomp,
): Promise<Uint8Array> => {
  const input = seccompInput(profile);
  const path = join(cacheDir, `${createHash('sha256').update(`${toolVersion}\n${input}`).digest('hex')}.bpf`);
  return flights.join(path, async () => {
    const kept = await cached(path);
    if (kept !== undefined) return kept;
    const program = await compile(runner, tool, input);
    await makeDirectory(cacheDir);
    await writeAtomic(path, program);
    return program;
  });
};
