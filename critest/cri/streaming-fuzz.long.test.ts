import test from 'ava';
import { seeded } from '../harness/fuzz.ts';
import { fuzzSessions } from './streaming/fuzz.ts';

test('a million mutated sessions end with their client, and the memory is as before', async (t) => {
  t.timeout(3_600_000);
  const random = seeded(Date.now());
  const below = (limit: number): number => Math.floor(random() * limit);
  await fuzzSessions(10_000, below);
  const before = process.memoryUsage.rss();
  await fuzzSessions(330_000, below);
  const grown = process.memoryUsage.rss() - before;
  t.true(grown < 100 << 20, `${grown >> 20} MiB more`);
});
