import { constants, release } from 'node:os';
import { invalid, messageOf } from '../../base/errors.ts';
import { readLimited } from '../../base/files.ts';
import { type JsonObject, objectsField, parseObject, sizeField, textField, textsField } from '../../images/json.ts';
import type { OciSeccomp, OciSyscallRule } from '../../shim/oci.ts';
import { seccompActions, seccompComparisons } from './seccomp.ts';
import type { Cpu } from './seccomp-calls.ts';
import { architecturesOf, holds, type Place } from './seccomp-conditions.ts';

/** The default profile is a tenth of it. */
const sizeLimit = 1 << 20;

/** Where a container with these capabilities (its bounding set) runs. */
export const placeOf = (capabilities: readonly string[]): Place => {
  const cpu: Cpu = process.arch === 'arm64' ? 'arm64' : 'x64';
  return { cpu, kernel: release(), capabilities: new Set(capabilities) };
};

/**
 * A profile file of the node: `linux.seccomp` of the OCI runtime-spec (config-linux.md, Seccomp) as JSON, or the form
 * that Docker and containers/common make of it (archMap, errno names, rules with `includes` and `excludes`), which is
 * resolved for the container. Throws `invalid-argument` with the path, and where in it what is wrong.
 */
export const readSeccompProfile = async (path: string, place: Place): Promise<OciSeccomp> => {
  const what = `seccomp profile ${path}`;
  const bytes = await readLimited(path, sizeLimit).catch((error: unknown) => {
    throw invalid(`${what}: ${messageOf(error)}`);
  });
  if (bytes === undefined) throw invalid(`${what}: there is no such file on this node`);
  return parseSeccompProfile(bytes, what, place);
};

const profileKeys = [
  'defaultAction',
  'defaultErrnoRet',
  'defaultErrno',
  'architectures',
  'archMap',
  'flags',
  'syscalls',
];
const ruleKeys = ['name', 'names', 'action', 'errnoRet', 'errno', 'args', 'includes', 'excludes'];

/** `what` begins every error. */
export const parseSeccompProfile = (bytes: Uint8Array, what: string, place: Place): OciSeccomp => {
  const profile = parseObject(bytes, what);
  onlyKnown(profile, profileKeys, what);
  const flags = textsField(profile, 'flags', what);
  checkFlags(flags, what);
  const rules = (objectsField(profile, 'syscalls', what) ?? []).map((each, index) => {
    const where = `${what}: syscalls[${index}]`;
    return { rule: rule(each, where), isIn: holds(each, where, place) };
  });
  const defaultErrnoRet = errno(profile, 'defaultErrno', what);
  return {
    defaultAction: oneOf(seccompActions, profile, 'defaultAction', what),
    ...(defaultErrnoRet === undefined ? {} : { defaultErrnoRet }),
    architectures: architecturesOf(profile, what, place),
    flags,
    syscalls: rules.filter(({ isIn }) => isIn).map((each) => each.rule),
  };
};

const rule = (object: JsonObject, what: string): OciSyscallRule => {
  onlyKnown(object, ruleKeys, what);
  const args = objectsField(object, 'args', what) ?? [];
  const errnoRet = errno(object, 'errno', what);
  return {
    names: namesOf(object, what),
    action: oneOf(seccompActions, object, 'action', what),
    ...(errnoRet === undefined ? {} : { errnoRet }),
    ...(args.length === 0 ? {} : { args: args.map((each, index) => argument(each, `${what}: args[${index}]`)) }),
  };
};

/** An older form has one `name` a rule. */
const namesOf = (object: JsonObject, what: string): readonly string[] => {
  const name = textField(object, 'name', what);
  const names = textsField(object, 'names', what);
  if (name !== '' && names.length > 0) throw invalid(`${what}: both name and names`);
  if (name === '' && names.length === 0) throw invalid(`${what}: names is empty`);
  return name === '' ? names : [name];
};

const argument = (object: JsonObject, what: string): NonNullable<OciSyscallRule['args']>[number] => {
  onlyKnown(object, ['index', 'value', 'valueTwo', 'op'], what);
  const index = sizeField(object, 'index', what);
  if (index > 5) throw invalid(`${what}: index ${index}: a call has the arguments 0 to 5`);
  return {
    index,
    value: sizeField(object, 'value', what),
    ...(isGiven(object, 'valueTwo') ? { valueTwo: sizeField(object, 'valueTwo', what) } : {}),
    op: oneOf(seccompComparisons, object, 'op', what),
  };
};

const oneOf = (known: ReadonlySet<string>, object: JsonObject, key: string, what: string): string => {
  const text = textField(object, key, what);
  if (text === '') throw invalid(`${what}: ${key} is missing`);
  if (known.has(text)) return text;
  const why = text === 'SCMP_ACT_NOTIFY' ? 'nobody here listens for its notifications' : 'not known';
  throw invalid(`${what}: ${key} ${JSON.stringify(text.slice(0, 64))} is not supported: ${why}`);
};

const numbers: Readonly<Record<string, number>> = constants.errno;

/** `errno` is a name and goes before `errnoRet`, a number. */
const errno = (object: JsonObject, key: 'errno' | 'defaultErrno', what: string): number | undefined => {
  const name = textField(object, key, what);
  if (name !== '') {
    const number = Object.hasOwn(numbers, name) ? numbers[name] : undefined;
    if (number === undefined) throw invalid(`${what}: ${key} ${JSON.stringify(name.slice(0, 64))} is not known`);
    return number;
  }
  const old = `${key}Ret`;
  return isGiven(object, old) ? sizeField(object, old, what) : undefined;
};

const isGiven = (object: JsonObject, key: string): boolean => Object.hasOwn(object, key) && object[key] !== null;

/** What is not known (a listener, a misspelt condition) would change what the profile means if it were left out. */
const onlyKnown = (object: JsonObject, keys: readonly string[], what: string): void => {
  const other = Object.keys(object).find((key) => key !== 'comment' && !keys.includes(key) && !isIdle(object[key]));
  if (other !== undefined) throw invalid(`${what}: ${JSON.stringify(other.slice(0, 64))} is not supported`);
};

const isIdle = (value: unknown): boolean => value === null || value === '';

const knownFlags = ['SECCOMP_FILTER_FLAG_TSYNC', 'SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_SPEC_ALLOW'];

const checkFlags = (flags: readonly string[], what: string): void => {
  const other = flags.findIndex((flag) => !knownFlags.includes(flag));
  if (other >= 0)
    throw invalid(`${what}: flags[${other}] ${JSON.stringify(flags[other]?.slice(0, 64))} is not supported`);
};
