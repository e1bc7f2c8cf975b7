import { readFile } from 'node:fs/promises';
import test from 'ava';
import { ExecFlag, Feature, Frame, Op, protocolVersion, RunFlag, ShimState } from './protocol.ts';

const header = await readFile('shim/native/protocol.h', 'utf8');

/** The constants of one enum in C, without the prefix of their names. */
const enumOf = (name: string, prefix: string): Record<string, number> => {
  const body = new RegExp(`enum ${name} \\{(.*?)\\};`, 's').exec(header)?.[1] ?? '';
  const plain = body.replaceAll(/\/\/.*|\/\*.*?\*\//g, '');
  const found = plain.matchAll(new RegExp(`${prefix}(\\w+)\\s*=\\s*(\\d+)(?:\\s*<<\\s*(\\d+))?`, 'g'));
  return Object.fromEntries(
    [...found].map(([, key = '', value, shift = '0']) => [key, Number(value) << Number(shift)]),
  );
};

test('the version is that of protocol.h', (t) => {
  t.is(Number(/BERTH_PROTOCOL (\d+)/.exec(header)?.[1]), protocolVersion);
});

for (const [name, prefix, numbers] of [
  ['frame_type', 'FRAME_', Frame],
  ['run_flag', 'RUN_', RunFlag],
  ['exec_flag', 'EXEC_', ExecFlag],
  ['shim_state', 'SHIM_', ShimState],
  ['feature', 'FEATURE_', Feature],
  ['op', 'OP_', Op],
] as const)
  test(`enum ${name} has the same names and numbers on both sides`, (t) => {
    const native = enumOf(name, prefix);
    t.true(Object.keys(native).length > 1);
    t.deepEqual({ ...numbers }, native as typeof numbers);
  });
