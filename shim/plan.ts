import { invalid } from '../base/errors.ts';
import { cString, encodeFields, type Field } from './frames.ts';
import { Op, planVersion } from './protocol.ts';

/** The count of fields is a u16. */
const mostFields = 0xffff;

/** A compiled plan as it grows; native/protocol.h tells each operation's fields. */
export class Plan {
  readonly #operations: Buffer[] = [];

  /** Numbers become u64, text UTF-8, bytes stay. Errors: `invalid-argument` for more fields than an operation can have. */
  add(operation: keyof typeof Op, ...fields: readonly Field[]): void {
    if (fields.length > mostFields)
      throw invalid(`${operation.toLowerCase()}: ${fields.length} arguments and variables, at most ${mostFields}`);
    const head = Buffer.alloc(4);
    head.writeUInt16LE(Op[operation], 0);
    head.writeUInt16LE(fields.length, 2);
    this.#operations.push(head, encodeFields(fields));
  }

  /** `BPLN`, u32 version, u32 number of operations, the operations. */
  encode(): Buffer {
    const head = Buffer.alloc(12);
    head.write('BPLN', 0, 'latin1');
    head.writeUInt32LE(planVersion, 4);
    head.writeUInt32LE(this.#operations.length / 2, 8);
    return Buffer.concat([head, ...this.#operations]);
  }
}

const head = 12;

/** Each operation's code and all its bytes. */
const operationsOf = (plan: Buffer): readonly { readonly code: number; readonly bytes: Buffer }[] => {
  const found: { code: number; bytes: Buffer }[] = [];
  for (let at = head; at < plan.length; ) {
    const start = at;
    at += 4;
    for (let field = plan.readUInt16LE(start + 2); field > 0; field -= 1) at += plan.readUInt32LE(at) + 5;
    found.push({ code: plan.readUInt16LE(start), bytes: plan.subarray(start, at) });
  }
  return found;
};

/** A file of a cgroup and what goes into it; `optional`: a kernel without the file is fine. */
export interface CgroupFile {
  readonly file: string;
  readonly value: string;
  readonly optional?: true;
}

/** What is made of a cgroup before the container's process does anything in it. */
export interface CgroupParts {
  readonly make: readonly { readonly directory: string; readonly version: 1 | 2 }[];
  readonly writes: readonly CgroupFile[];
  /** v2: the program that decides which devices may be made and opened (struct bpf_insn each). */
  readonly devices?: { readonly directory: string; readonly program: Uint8Array };
}

export const addCgroup = (plan: Plan, { make, writes, devices }: CgroupParts): void => {
  for (const { directory, version } of make) plan.add('CGROUP_MAKE', directory, version);
  for (const { file, value, optional } of writes)
    plan.add('CGROUP_WRITE', cString(file, 'cgroup file'), cString(value, file), optional ? 1 : 0);
  if (devices !== undefined) plan.add('CGROUP_DEVICES', devices.directory, devices.program);
};

/** For a container that waits (`Supervisor.update`). */
export const limitsPlan = (cgroup: CgroupParts): Plan => {
  const plan = new Plan();
  addCgroup(plan, cgroup);
  return plan;
};

/** A plan with nothing but writes, as `Supervisor.update` takes it. */
export const writesPlan = (writes: readonly CgroupFile[]): Plan => {
  const plan = new Plan();
  addCgroup(plan, { make: [], writes });
  return plan;
};

/** The plan of a container that was not started yet, with these limits instead of its own. */
export const withLimits = (
  plan: Buffer,
  { writes, oomScoreAdj }: { readonly writes: readonly CgroupFile[]; readonly oomScoreAdj?: number },
): Buffer => {
  const limits = writesPlan(writes);
  const score = new Plan();
  if (oomScoreAdj !== undefined) score.add('OOM_SCORE', String(oomScoreAdj));
  const replaced: readonly number[] = [Op.CGROUP_WRITE, Op.OOM_SCORE];
  const kept = operationsOf(plan).filter(({ code }) => !replaced.includes(code));
  const made = kept.findLastIndex(({ code }) => code === Op.CGROUP_MAKE) + 1;
  const cloned = kept.findLastIndex(({ code }) => code === Op.CLONE || code === Op.WAIT) + 1;
  const bytes = (from: number, to?: number): Buffer[] => kept.slice(from, to).map((operation) => operation.bytes);
  const body = Buffer.concat([
    ...bytes(0, made),
    limits.encode().subarray(head),
    ...bytes(made, cloned),
    score.encode().subarray(head),
    ...bytes(cloned),
  ]);
  const start = Buffer.from(plan.subarray(0, head));
  start.writeUInt32LE(kept.length + writes.length + (oomScoreAdj === undefined ? 0 : 1), 8);
  return Buffer.concat([start, body]);
};
