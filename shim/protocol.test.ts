import { readFile } from 'node:fs/promises';
import test from 'ava';
import {
  ExecFlag,
  Feature,
  Frame,
  Op,
  oldestPlan,
  oldestProtocol,
  planVersion,
  protocolVersion,
  RunFlag,
  ShimState,
} from './protocol.ts';

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

test('the versions are those of protocol.h', (t) => {
  const numberOf = (name: string): number => Number(new RegExp(`#define ${name} (\\d+)`).exec(header)?.[1]);
  t.is(numberOf('BERTH_PROTOCOL'), protocolVersion);
  t.is(numberOf('BERTH_OLDEST_PROTOCOL'), oldestProtocol);
  t.is(numberOf('BERTH_PLAN'), planVersion);
  t.is(numberOf('BERTH_OLDEST_PLAN'), oldestPlan);
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
