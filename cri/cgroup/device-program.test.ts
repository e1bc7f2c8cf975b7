import test from 'ava';
import type { OciDeviceRule } from '../../shim/oci.ts';
import { containerDevices } from '../spec/devices.ts';
import { deviceProgram } from './device-program.ts';

interface Asked {
  readonly type: 'b' | 'c';
  readonly major: number;
  readonly minor: number;
  readonly access: string;
}

// What the kernel does with the program, for the instructions that are used: an unknown one, a jump out of it and a run
// that does not end are errors, as in the kernel's verifier.
const run = (program: Uint8Array, { type, major, minor, access }: Asked): number => {
  const bytes = Buffer.from(program);
  const asked = [...access].reduce((bits, letter) => bits | ({ m: 1, r: 2, w: 4 }[letter] ?? 0), 0);
  const context = Buffer.alloc(12);
  for (const [index, value] of [(asked << 16) | { b: 1, c: 2 }[type], major, minor].entries())
    context.writeUInt32LE(value, index * 4);
  const r = new Array<number>(11).fill(Number.NaN);
  r[1] = 0;
  for (let at = 0, steps = 0; steps < 100_000; at += 8, steps += 1) {
    const [code, registers, offset, value] = [
      bytes.readUInt8(at),
      bytes.readUInt8(at + 1),
      bytes.readInt16LE(at + 2),
      bytes.readInt32LE(at + 4),
    ];
    const [to, from] = [registers & 15, registers >> 4];
    const read = (register: number): number => {
      const known = r[register];
      if (known === undefined || Number.isNaN(known)) throw new Error(`r${register} is read before it is written`);
      return known;
    };
    if (code === 0x95) return read(0);
    if (code === 0x61) r[to] = context.readUInt32LE(read(from) + offset);
    else if (code === 0xbf) r[to] = read(from);
    else if (code === 0xb7) r[to] = value;
    else if (code === 0x57) r[to] = read(to) & value;
    else if (code === 0x77) r[to] = read(to) >>> value;
    else if (code === 0x05) at += offset * 8;
    else if (code === 0x55) at += read(to) === value ? 0 : offset * 8;
    else if (code === 0x45) at += (read(to) & value) === 0 ? 0 : offset * 8;
    else throw new Error(`unknown instruction ${code}`);
  }
  throw new Error('the program does not end');
};

/** The rules read one by one, for each kind of access alone. */
const expected = (rules: readonly OciDeviceRule[], asked: Asked): boolean =>
  [...asked.access].every(
    (letter) =>
      rules.findLast(
        ({ type, major, minor, access }) =>
          (type === undefined || type === 'a' || type === asked.type) &&
          (major === undefined || major === asked.major) &&
          (minor === undefined || minor === asked.minor) &&
          access.includes(letter),
      )?.allow ?? false,
  );

const allows = (rules: readonly OciDeviceRule[], asked: Asked): boolean => {
  const program = deviceProgram(rules);
  return program === undefined || run(program, asked) === 1;
};

const deny: OciDeviceRule = { allow: false, access: 'rwm' };
const zero = { type: 'c', major: 1, minor: 5 } as const;
const disk = { type: 'b', major: 8, minor: 0 } as const;

test('a container makes any node and opens only its own devices', (t) => {
  const { rules } = containerDevices([], { privileged: false, hostDevices: [], found: new Map() });
  t.true(allows(rules, { ...zero, access: 'rw' }));
  t.true(allows(rules, { type: 'c', major: 136, minor: 77, access: 'rw' }));
  t.true(allows(rules, { ...disk, access: 'm' }));
  for (const access of ['r', 'w', 'rw', 'rm']) t.false(allows(rules, { ...disk, access }), access);
  t.false(allows(rules, { type: 'b', major: 1, minor: 5, access: 'r' }));
  t.false(allows(rules, { type: 'c', major: 1, minor: 1, access: 'r' }));
});

test('a privileged container, and one without rules, has no program', (t) => {
  t.is(deviceProgram([]), undefined);
  t.is(deviceProgram([{ allow: true, access: 'rwm' }]), undefined);
  t.is(
    deviceProgram([deny, { allow: true, type: 'a', access: 'rwm' }, { allow: true, ...disk, access: 'r' }]),
    undefined,
  );
});

test('the last rule that matches wins', (t) => {
  const open = { allow: true, ...disk, access: 'rwm' };
  const shut = { allow: false, ...disk, access: 'rwm' };
  t.true(allows([deny, shut, open], { ...disk, access: 'rw' }));
  t.false(allows([deny, open, shut], { ...disk, access: 'rw' }));
  t.false(allows([open, deny], { ...disk, access: 'r' }));
});

test('a refused write refuses an open for reading and writing', (t) => {
  const rules = [deny, { allow: true, ...disk, access: 'rwm' }, { allow: false, ...disk, access: 'w' }];
  t.true(allows(rules, { ...disk, access: 'r' }));
  t.false(allows(rules, { ...disk, access: 'rw' }));
});

test('two rules together allow what neither allows alone', (t) => {
  const rules = [deny, { allow: true, ...disk, access: 'r' }, { allow: true, ...disk, access: 'w' }];
  t.true(allows(rules, { ...disk, access: 'rw' }));
  t.false(allows(rules, { ...disk, access: 'rwm' }));
});

test('what no rule names is refused', (t) => {
  t.false(allows([{ allow: true, ...disk, access: 'rwm' }], { ...zero, access: 'r' }));
});

test('an access or a number that is none is an error', (t) => {
  for (const access of ['', 'x', 'rx'])
    t.throws(() => deviceProgram([{ allow: false, access }]), { code: 'invalid-argument', message: /r, w and m/ });
  for (const major of [-1, 1.5, 2 ** 31])
    t.throws(() => deviceProgram([{ allow: false, major, access: 'r' }]), { message: /major/ });
});

// A fixed sequence (a linear congruential generator), so that a failure comes again.
const random = (seed: number): ((below: number) => number) => {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
};
const words = ['r', 'w', 'm', 'rw', 'rm', 'wm', 'rwm'] as const;

test('for any rules the program answers as the rules read one by one', (t) => {
  const next = random(7);
  const word = (): string => words[next(words.length)] ?? 'r';
  const randomRule = (): OciDeviceRule => ({
    allow: next(2) === 1,
    ...([{}, { type: 'a' }, { type: 'b' }, { type: 'c' }] as const)[next(4)],
    ...(next(3) === 0 ? {} : { major: next(3) }),
    ...(next(2) === 0 ? {} : { minor: next(3) }),
    access: word(),
  });
  for (let round = 0; round < 2000; round += 1) {
    const rules = Array.from({ length: 1 + next(8) }, randomRule);
    const asked = { type: next(2) === 0 ? 'b' : 'c', major: next(4), minor: next(4), access: word() } as const;
    if (allows(rules, asked) !== expected(rules, asked)) t.fail(JSON.stringify({ rules, asked }));
  }
  t.pass();
});
