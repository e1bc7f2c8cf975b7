import test from 'ava';
import type { TestDaemon } from '../harness/daemon.ts';
import { seeded } from '../harness/fuzz.ts';
import { suiteDaemon, warmUp } from '../harness/suite.ts';
import { staysFlat, stuckHurtNobody } from './streaming/flat.ts';
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
  leavesNothing(t, daemon(), dial, 'execs', 60, seeded(1)));

test('attaches of which half are cut at any byte leave nothing (containerd CVE-2022-23471, CVE-2025-64329)', (t) =>
  leavesNothing(t, daemon(), dial, 'attaches', 60, seeded(2)));

test('port-forwards of which half are cut at any byte leave nothing', (t) =>
  leavesNothing(t, daemon(), dial, 'forwards', 60, seeded(3)));

test('much output through an exec does not gather in the daemon', (t) => staysFlat(t, daemon(), dial, 48 << 20));

test('clients that do not read, and input that nobody reads, hold up nobody else and gather nothing', (t) =>
  stuckHurtNobody(t, daemon(), dial));
