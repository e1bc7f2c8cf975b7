import { writeFile } from 'node:fs/promises';
import test from 'ava';
import { artifact } from './harness/artifact.ts';
import { agentCrashAtStep, crashAtEachStep, type Scenario } from './harness/crash.ts';
import { crashAtRandom } from './harness/crash-at-random.ts';
import { bringImages, crashImages } from './harness/crash-images.ts';
import { TestDaemon } from './harness/daemon.ts';
import { writeLayout } from './harness/image.ts';
import { names } from './harness/images.ts';
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
  wrongImages,
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

test('Import, Prune, Check with a repair: kill -9 at every step leaves images with the right bytes or none', async (t) => {
  t.timeout(900_000);
  await using daemon = await TestDaemon.start({ images: scenarioImages });
  for (const scenario of [importLayout, prune, repair]) await crashAtEachStep(t, daemon, scenario);
});

agentCrashes(removeImage);
agentCrashes(repair);

test('Import of an artifact, Tag, Untag: kill -9 at every step leaves whole files and whole names or none', async (t) => {
  t.timeout(900_000);
  const thing = artifact([
    { data: 'one', title: 'one' },
    { data: 'two', title: 'dir/two' },
  ]);
  const name = 'registry.example/app:1';
  await using daemon = await TestDaemon.start({ images: scenarioImages });
  const path = daemon.world.path('layout');
  await writeLayout(daemon.world.seen(path), new Map([[name, thing]]));
  const known = async (): Promise<boolean> => {
    t.deepEqual(await wrongImages(daemon), []);
    const { image } = await daemon.client.ImageStatus({ image: { image: thing.id } });
    const tree = daemon.world.path('root/images/layers', thing.id.slice(7), 'fs');
    if (image !== undefined) t.is(await daemon.world.sh(`cd ${tree}; cat one dir/two; stat -c %a dir`), 'onetwo755\n');
    return image !== undefined;
  };
  const bring = async (): Promise<undefined> => void (await daemon.client.Import({ path }));
  const pulling: Scenario<undefined> = {
    rpc: 'Import',
    steps: 20,
    prepare: async () => undefined,
    call: bring,
    check: async () => void (await known()),
    clean: () => daemon.client.RemoveImage({ image: { image: thing.id } }),
  };
  await crashAtEachStep(t, daemon, pulling);
  const tagging: Scenario<undefined> = {
    ...pulling,
    rpc: 'Tag',
    steps: 1,
    prepare: bring,
    call: () => daemon.client.Tag({ source: name, target: 'mine' }),
    check: async () => void t.true(await known(), 'it has its first name'),
  };
  await crashAtEachStep(t, daemon, tagging);
  const untagging: Scenario<undefined> = {
    ...pulling,
    rpc: 'Untag',
    steps: 6,
    prepare: bring,
    call: () => daemon.client.Untag({ image: name }),
  };
  await crashAtEachStep(t, daemon, untagging);
});

test('UpdateRuntimeConfig: kill -9 at every step leaves the old network or the new one, and told again it is the new one', async (t) => {
  t.timeout(900_000);
  await using daemon = await TestDaemon.prepare({ network: 'embedded' });
  const { world } = daemon;
  const conf_template = world.path('net.template');
  const ipam = { type: 'host-local', dataDir: world.path('ipam'), ranges: [[{ subnet: '{{.PodCIDR}}' }]] };
  const plugins = [{ type: 'bridge', bridge: 'bt1', isGateway: true, ipam }];
  await writeFile(conf_template, JSON.stringify({ cniVersion: '1.0.0', name: 'node', plugins }));
  await daemon.configure({ network: { conf_template } });
  await daemon.boot();
  await daemon.import([names.busybox]);
  const tell = (pod_cidr: string) =>
    daemon.client.UpdateRuntimeConfig({ runtime_config: { network_config: { pod_cidr } } });
  const subnet = async (): Promise<string> =>
    JSON.parse(await world.sh(`cat ${world.path('cni')}/*.conflist`)).plugins[0].ipam.ranges[0][0].subnet;
  const [old, next] = ['10.60.1.0/24', '10.60.2.0/24'];
  await tell(old);
  await crashAtEachStep<undefined>(t, daemon, {
    rpc: 'UpdateRuntimeConfig',
    steps: 4,
    prepare: async () => void (await tell(old)),
    call: () => tell(next),
    check: async () => {
      t.true([old, next].includes(await subnet()));
      const { status } = await daemon.client.Status({});
      t.true(status?.conditions.every((condition) => condition.status));
      await tell(next);
      t.is(await subnet(), next);
    },
    clean: () => tell(old),
  });
});

test('a hundred crashes at random moments', async (t) => {
  t.timeout(900_000);
  await crashAtRandom(t, 100);
});

test('three hundred kills at random microseconds of imports, loads, pulls, removals and prunes leave only right bytes', async (t) => {
  t.timeout(1_800_000);
  await using daemon = await TestDaemon.start({ images: [] });
  await bringImages(daemon, true);
  await crashImages(t, daemon, 300, { pulls: true });
});
