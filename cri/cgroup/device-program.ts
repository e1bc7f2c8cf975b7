import { invalid } from '../../base/errors.ts';
import type { OciDeviceRule } from '../../shim/oci.ts';

/** Encodings of linux/bpf.h and linux/bpf_common.h: class, operation and source of an instruction's code. */
const Code = {
  load32: 0x61, // r = *(u32 *)(source + offset)
  move: 0xbf,
  moveTo: 0xb7,
  and: 0x57,
  shiftRight: 0x77,
  jump: 0x05,
  jumpUnless: 0x55, // to offset unless register == value
  jumpIfAny: 0x45, // to offset if register & value
  exit: 0x95,
} as const;

// struct bpf_cgroup_dev_ctx: access_type (access << 16 | type), major, minor. r0 answers: 1 allows, 0 refuses with EPERM.
const [r0, context, type, access, major, minor] = [0, 1, 2, 3, 4, 5] as const;
const types = { b: 1, c: 2 } as const;
const accesses: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 };
const allAccess = 7;

interface Instruction {
  readonly code: number;
  readonly to?: number;
  readonly from?: number;
  readonly offset?: number;
  readonly value?: number;
}

const start: readonly Instruction[] = [
  { code: Code.load32, to: type, from: context, offset: 0 },
  { code: Code.move, to: access, from: type },
  { code: Code.and, to: type, value: 0xffff },
  { code: Code.shiftRight, to: access, value: 16 },
  { code: Code.load32, to: major, from: context, offset: 4 },
  { code: Code.load32, to: minor, from: context, offset: 8 },
];

const answer = (allow: boolean): readonly Instruction[] => [
  { code: Code.moveTo, to: r0, value: allow ? 1 : 0 },
  { code: Code.exit },
];

const accessMask = (text: string): number => {
  const mask = [...text].reduce((bits, letter) => bits | (accesses[letter] ?? 8), 0);
  if (mask === 0 || mask > allAccess) throw invalid(`device rule: access ${JSON.stringify(text)} is not of r, w and m`);
  return mask;
};

const checkNumber = (name: string, value: number | undefined): void => {
  if (value !== undefined && (!Number.isInteger(value) || value < 0 || value > 0x7fff_ffff))
    throw invalid(`device rule: ${name} ${value} is not a device number`);
};

/** Which register must hold which number for the rule to be about this device. */
const conditions = (rule: OciDeviceRule): readonly (readonly [register: number, value: number])[] => {
  checkNumber('major', rule.major);
  checkNumber('minor', rule.minor);
  return [
    ...(rule.type === undefined || rule.type === 'a' ? [] : [[type, types[rule.type]] as const]),
    ...(rule.major === undefined ? [] : [[major, rule.major] as const]),
    ...(rule.minor === undefined ? [] : [[minor, rule.minor] as const]),
  ];
};

/** The rule decides on all that is asked. */
const isUnconditional = (rule: OciDeviceRule): boolean =>
  conditions(rule).length === 0 && accessMask(rule.access) === allAccess;

// An open asks for r and w together, and each may be decided by another rule: one that refuses a part refuses it all, and
// what one has allowed is not asked of the earlier ones.
const decision = ({ allow, access: text }: OciDeviceRule): readonly Instruction[] => {
  const mask = accessMask(text);
  const answers = answer(allow);
  if (mask === allAccess) return answers;
  if (allow)
    return [
      { code: Code.and, to: access, value: allAccess & ~mask },
      { code: Code.jumpUnless, to: access, value: 0, offset: answers.length },
      ...answers,
    ];
  return [
    { code: Code.jumpIfAny, to: access, value: mask, offset: 1 },
    { code: Code.jump, offset: answers.length },
    ...answers,
  ];
};

const compileRule = (rule: OciDeviceRule): readonly Instruction[] => {
  const body = decision(rule);
  const tests = conditions(rule);
  const jumps = tests.map(([register, value], index) => ({
    code: Code.jumpUnless,
    to: register,
    value,
    offset: tests.length - 1 - index + body.length,
  }));
  return [...jumps, ...body];
};

/** `struct bpf_insn` each: u8 code, u8 registers, s16 offset, s32 value. */
const encode = (instructions: readonly Instruction[]): Uint8Array => {
  const bytes = Buffer.alloc(instructions.length * 8);
  for (const [index, { code, to = 0, from = 0, offset = 0, value = 0 }] of instructions.entries()) {
    bytes.writeUInt8(code, index * 8);
    bytes.writeUInt8(to | (from << 4), index * 8 + 1);
    bytes.writeInt16LE(offset, index * 8 + 2);
    bytes.writeInt32LE(value, index * 8 + 4);
  }
  return bytes;
};

/**
 * A program of BPF_PROG_TYPE_CGROUP_DEVICE for the rules of an OCI spec, where the last rule that matches wins and what no
 * rule matches is refused. Undefined when there are no rules, or they refuse nothing. Pure; little-endian.
 * Errors: invalid-argument for an access or a number that is none.
 */
export const deviceProgram = (rules: readonly OciDeviceRule[]): Uint8Array | undefined => {
  const first = rules.findLastIndex(isUnconditional);
  const used = rules.slice(Math.max(first, 0));
  if (used.length === 0 || (first >= 0 && used.every(({ allow }) => allow))) return undefined;
  // Behind an unconditional rule nothing runs, and the kernel refuses instructions that nothing reaches.
  return encode([...start, ...used.toReversed().flatMap(compileRule), ...(first < 0 ? answer(false) : [])]);
};
