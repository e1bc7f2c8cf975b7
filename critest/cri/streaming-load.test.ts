import test from 'ava';
import type { TestDaemon } from '../harness/daemon.ts';
import { seeded } from '../harness/fuzz.ts';
import { suiteDaemon, warmUp } from '../harness/suite.ts';
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

test('execs of which half are cut at any byte leave nothing (containerd CVE-2022-23471, CVE-2025-64329)', (t) =>
  leavesNothing(t, daemon(), dial, 'execs', 120, seeded(1)));

test('attaches of which half are cut at any byte leave nothing (containerd CVE-2022-23471, CVE-2025-64329)', (t) =>
  leavesNothing(t, daemon(), dial, 'attaches', 120, seeded(2)));

test('port-forwards of which half are cut at any byte leave nothing', (t) =>
  leavesNothing(t, daemon(), dial, 'forwards', 120, seeded(3)));
