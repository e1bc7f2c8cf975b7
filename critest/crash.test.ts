import test from 'ava';
import { agentCrashAtStep, crashAtEachStep, type Scenario } from './harness/crash.ts';
import { crashAtRandom } from './harness/crash-at-random.ts';
import { bringImages, churnImages, crashImages } from './harness/crash-images.ts';
import { TestDaemon } from './harness/daemon.ts';
import { startRegistry } from './harness/registry.ts';
import {
  create,
  pull,
  remove,
  removeImage,
  removePod,
  run,
  runMapped,
  scenarioImages,
  start,
  startMapped,
  stop,
  stopPod,
  update,
  updateCreated,
  updatePod,
} from './harness/scenarios.ts';

const crashing = <P>(title: string, scenario: Scenario<P>, parts: readonly number[] = [0, 1, 2, 3]): void => {
  test(title, async (t) => {
    t.timeout(180_000);
    await using daemon = await TestDaemon.start({ images: scenarioImages });
    await startRegistry(daemon.world);
    const steps = await crashAtEachStep(t, daemon, scenario);
    // The first, the last, and two in between; all of them in crash.long.test.ts.
    for (const step of new Set(parts.map((part) => Math.max(1, Math.ceil((part * steps) / 3)))))
      await agentCrashAtStep(t, daemon, scenario, step);
  });
};

crashing('RunPodSandbox: kill -9 at every step leaves a whole pod or none', run);
crashing('RunPodSandbox with a user namespace: kill -9 at every step leaves a whole pod or none', runMapped, []);
crashing('CreateContainer: kill -9 at every step leaves a whole container or none', create);
crashing('StartContainer: kill -9 at every step leaves one container that was started once, or not', start);
crashing(
  'StartContainer in a user namespace: kill -9 at every step leaves one that was started once, or not',
  startMapped,
  [],
);
crashing('StopContainer: kill -9 at every step leaves a container that runs or has ended', stop);
crashing('StopPodSandbox: kill -9 at every step leaves a pod that is ready or not', stopPod);
crashing('RemoveContainer: kill -9 at every step leaves a whole container or none', remove);
crashing('RemovePodSandbox: kill -9 at every step leaves a whole pod or none', removePod);
crashing('PullImage: kill -9 at every step leaves a whole image or none', pull);

test('RemoveImage: kill -9 at every step leaves images with the right bytes or none', async (t) => {
  t.timeout(180_000);
  await using daemon = await TestDaemon.start({ images: scenarioImages });
  await crashAtEachStep(t, daemon, removeImage);
});

test('UpdateContainerResources, UpdatePodSandboxResources: kill -9 at every step leaves all old limits or all new ones', async (t) => {
  t.timeout(180_000);
  await using daemon = await TestDaemon.start();
  // No agent in it: the supervisor writes.
  await crashAtEachStep(t, daemon, update);
  await crashAtEachStep(t, daemon, updateCreated);
  await crashAtEachStep(t, daemon, updatePod);
});

test('kill -9 of daemon and agent at random moments leaves what the processes say, and nothing after its removal', async (t) => {
  t.timeout(180_000);
  await crashAtRandom(t, 6);
});

test('kill -9 at random microseconds of imports, loads, pulls, removals and prunes leaves only images with the right bytes', async (t) => {
  t.timeout(180_000);
  await using daemon = await TestDaemon.start({ images: [] });
  await bringImages(daemon, true);
  await crashImages(t, daemon, 6, { pulls: true });
});

test('imports, loads, pulls, removals and prunes of the same layers at once do not get in the way of each other', async (t) => {
  t.timeout(180_000);
  await using daemon = await TestDaemon.start({ images: [] });
  await bringImages(daemon, true);
  await churnImages(t, daemon, 1500);
});
