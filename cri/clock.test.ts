import test from 'ava';
import { nanosecondClock } from './clock.ts';

const second = 1_000_000_000n;

test('the clock shows nanoseconds within the millisecond of the wall clock, and never goes back', (t) => {
  let steady = 5n;
  // The wall clock stands in the middle of a millisecond at the start, and runs a hundredth faster.
  const wall = (): bigint => (1_700_000_000n * second + 500_000n + (steady * 101n) / 100n) / 1_000_000n;
  const clock = nanosecondClock(wall, () => steady);
  let last = 0n;
  const fractions = new Set<bigint>();
  for (let step = 0; step < 10_000; step += 1) {
    steady += 12_345n;
    const shown = clock();
    t.is(shown / 1_000_000n, wall());
    t.true(shown >= last, `${last} → ${shown}`);
    fractions.add(shown % 1_000_000n);
    last = shown;
  }
  t.true(fractions.size > 50, `${fractions.size} different fractions of a millisecond`);
});

test('the clock follows a wall clock that is set', (t) => {
  let wall = 1_700_000_000_000n;
  let steady = 0n;
  const clock = nanosecondClock(
    () => wall,
    () => steady,
  );
  for (const jump of [3_600_000n, -7_200_000n, 1n, -1n]) {
    wall += jump;
    steady += 10n;
    t.is(clock() / 1_000_000n, wall);
  }
});

test('two times right after one another differ by less than a millisecond', (t) => {
  const clock = nanosecondClock(
    () => BigInt(Date.now()),
    () => process.hrtime.bigint(),
  );
  clock();
  const times = Array.from({ length: 1000 }, () => clock());
  t.true(new Set(times).size > 100);
  t.deepEqual(
    times,
    times.toSorted((a, b) => Number(a - b)),
  );
});
