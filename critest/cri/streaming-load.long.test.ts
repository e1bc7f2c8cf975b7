import test from 'ava';
import type { TestDaemon } from '../harness/daemon.ts';
import { seeded } from '../harness/fuzz.ts';
import { suiteDaemon, warmUp } from '../harness/suite.ts';
import { staysFlat } from './streaming/flat.ts';
import { leavesNothing } from './streaming/load.ts';
import type { Dial } from './streaming/spdy-client.ts';
import { dialInto } from './streaming/world.ts';

let dial: Dial = () => {
  throw new Error('there is no bridge');
};
const daemon = suiteDaemon({
  setUp: async (started: TestDaemon) => {
    dial = await dialInto(started);
    await warmUp(started);
  },
});

for (const [index, kind] of (['execs', 'attaches', 'forwards'] as const).entries())
  test(`ten thousand ${kind}, half of them cut at any byte, leave nothing (containerd CVE-2022-23471, CVE-2025-64329)`, async (t) => {
    t.timeout(1_800_000);
    await leavesNothing(t, daemon(), dial, kind, 10_000, seeded(index + 1));
  });

test('ten gigabytes through an exec hold the memory of the daemon flat', async (t) => {
  t.timeout(1_800_000);
  await staysFlat(t, daemon(), dial, 10_000_000_000);
});
