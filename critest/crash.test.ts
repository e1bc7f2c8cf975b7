import test from 'ava';
import { agentCrashAtStep, crashAtEachStep, type Scenario } from './harness/crash.ts';
import { crashAtRandom } from './harness/crash-at-random.ts';
import { bringImages, churnImages, crashImages } from './harness/crash-images.ts';
import { TestDaemon } from './harness/daemon.ts';
import { names } from './harness/images.ts';
import { runPod } from './harness/pods.ts';
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
import { reused, warmUp } from './harness/suite.ts';
import { until } from './harness/until.ts';

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

test('kill -9 while a pod’s namespaces are being made: the next daemon ends who makes them before it removes them', async (t) => {
  await using daemon = await TestDaemon.prepare();
  const { world } = daemon;
  const frozen = world.path('frozen');
  await world.sh(`truncate -s 16M ${world.path('log.disk')} && mkfs.ext4 -q ${world.path('log.disk')} && mkdir ${frozen} &&
    mount -o loop ${world.path('log.disk')} ${frozen} && mkdir ${frozen}/netns`);
  await daemon.configure({ network: { netns_dir: `${frozen}/netns` } });
  await daemon.boot();
  await daemon.import([names.busybox]);
  await warmUp(daemon);
  const before = await daemon.snapshot();
  // Whoever makes a file there stands still in the kernel, where no signal reaches it.
  await world.sh(`fsfreeze -f ${frozen}`);
  const thaw = () => world.sh(`fsfreeze -u ${frozen}`);
  try {
    const call = runPod(daemon).catch(() => undefined);
    const stands = async () => /^D\S* .*sandbox make/m.test(await world.sh('ps -e -o stat=,args='));
    await until('it stands still', stands);
    // One that finds no processor notices the daemon's end as late.
    const [agent = 0] = await daemon.pidsOf('berth-agent');
    await world.sh(`kill -STOP ${agent}`);
    await daemon.kill();
    await call;
    const boot = daemon.boot();
    const waits = async () => (await daemon.pidsOf('berth-lock')).length > 0;
    await Promise.race([boot, until('the next daemon waits for it', waits)]);
    await thaw();
    await boot;
    await world.sh(`kill -CONT ${agent}`);
  } finally {
    await thaw().catch(() => undefined);
  }
  t.deepEqual(await daemon.leftSince(before, reused), []);
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
