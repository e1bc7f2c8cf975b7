import test from 'ava';
import { agentCrashAtStep, crashAtEachStep, type Scenario } from './harness/crash.ts';
import { crashAtRandom } from './harness/crash-at-random.ts';
import { bringImages, crashImages } from './harness/crash-images.ts';
import { TestDaemon } from './harness/daemon.ts';
import { startRegistry } from './harness/registry.ts';
import {
  create,
  importLayout,
  load,
  prune,
  pull,
  remove,
  removeImage,
  removePod,
  repair,
  run,
  runMapped,
  scenarioImages,
  start,
  startMapped,
  stop,
  stopPod,
} from './harness/scenarios.ts';

const agentCrashes = <P>(scenario: Scenario<P>, where = ''): void => {
  test(`${scenario.rpc}${where}: kill -9 of the agent at every step leaves whole objects or none`, async (t) => {
    t.timeout(900_000);
    await using daemon = await TestDaemon.start({ images: scenarioImages });
    await startRegistry(daemon.world);
    for (let step = 1; step <= scenario.steps; step += 1) await agentCrashAtStep(t, daemon, scenario, step);
  });
};

agentCrashes(run);
agentCrashes(runMapped, ' with a user namespace');
agentCrashes(create);
agentCrashes(start);
agentCrashes(startMapped, ' in a user namespace');
agentCrashes(stop);
agentCrashes(stopPod);
agentCrashes(remove);
agentCrashes(removePod);
agentCrashes(pull);

test('Load: kill -9 at every step leaves images with the right bytes or none', async (t) => {
  t.timeout(900_000);
  await using daemon = await TestDaemon.start({ images: scenarioImages });
  await crashAtEachStep(t, daemon, load);
});

test('Import, Prune: kill -9 at every step leaves images with the right bytes or none', async (t) => {
  t.timeout(900_000);
  await using daemon = await TestDaemon.start({ images: scenarioImages });
  for (const scenario of [importLayout, prune]) await crashAtEachStep(t, daemon, scenario);
});

agentCrashes(removeImage);
agentCrashes(repair);

test('a hundred crashes at random moments', async (t) => {
  t.timeout(900_000);
  await crashAtRandom(t, 100);
});

test('three hundred kills at random microseconds of imports, pulls, removals and prunes leave only right bytes', async (t) => {
  t.timeout(1_800_000);
  await using daemon = await TestDaemon.start({ images: [] });
  await bringImages(daemon, true);
  await crashImages(t, daemon, 300, { pulls: true });
});
