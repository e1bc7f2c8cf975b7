import test from 'ava';
import { seeded } from '../harness/fuzz.ts';
import { runPod } from '../harness/pods.ts';
import { suiteDaemon, warmUp } from '../harness/suite.ts';
import { until } from '../harness/until.ts';
import { churn, keptBy } from './streaming/churn.ts';
import type { Dial } from './streaming/spdy-client.ts';
import { dialInto } from './streaming/world.ts';

let dial: Dial = () => {
  throw new Error('there is no bridge');
};
const daemon = suiteDaemon({
  setUp: async (started) => {
    dial = await dialInto(started);
    await warmUp(started);
  },
});
const times = 10_000;

test('containerd 2022-23471, 2025-64329: ten thousand execs and attaches, half of their clients cut at a random byte, leave nothing', async (t) => {
  t.timeout(3_600_000);
  const random = seeded(Date.now());
  const below = (limit: number): number => Math.floor(random() * limit);
  const container = await (await runPod(daemon())).run('while :; do echo tick; sleep 0.1; done', { stdin: true });
  await churn(daemon(), container, dial, times / 10, below);
  const calm = () => keptBy(daemon(), container);
  const before = await until('a calm moment', async () => {
    const kept = await calm();
    return kept.processes === 0 && kept;
  });
  await churn(daemon(), container, dial, times, below);
  await until('descriptors and processes are as before', async () => {
    const { descriptors, processes } = await calm();
    return processes === 0 && descriptors <= before.descriptors;
  });
  const after = await calm();
  t.true(after.memory - before.memory < 60_000, `${before.memory} kB, then ${after.memory} kB`);
  t.is((await container.status()).state, 'CONTAINER_RUNNING');
});
