import test from 'ava';
import { TestDaemon } from './harness/daemon.ts';
import { names } from './harness/images.ts';
import { runPod } from './harness/pods.ts';
import { until } from './harness/until.ts';

// Each one alone is in kernel-features.test.ts.
const without = 'lowerdir-plus,overlay-new-api,cgroup-kill,clone-into-cgroup,memfd-exec';

test("without any newer kernel feature a pod runs, is exec'ed in, is stopped, and leaves nothing", async (t) => {
  await using daemon = await TestDaemon.start({
    env: { BERTH_WITHOUT: without },
    images: [names.busybox, names.layered],
  });
  await (await runPod(daemon)).remove();
  const before = await daemon.snapshot();
  const { features: told } = await daemon.client.Info({});
  const off = told.filter(({ present }) => !present).map(({ name }) => name);
  for (const name of without.split(',')) t.true(off.includes(name), `${name} is off: ${off}`);
  const pod = await runPod(daemon);
  const image = { image: names.layered };
  const volume = { image, container_path: '/volume', readonly: true };
  const mounts = [volume, { ...volume, container_path: '/part', image_sub_path: 'opaque' }];
  const container = await pod.run('cat /added; echo; setsid sleep 2345 & sleep 2345', { image, mounts });
  t.is(
    (await container.exec('cat /volume/added; ls /part; ls /volume/removed 2>&1 | wc -l')).stdout,
    'addedabove\n1\n',
  );
  await until('it has written', async () => (await container.text()) === 'added\n');
  t.is((await container.exec('ls /opaque; echo new >/written; cat /written')).stdout, 'above\nnew\n');
  await container.stop(0);
  t.is((await container.status()).exit_code, 137);
  t.is(await daemon.world.sh('ps -e -o args= | grep "^sleep 2345" || true'), '');
  await pod.remove();
  t.deepEqual(await daemon.leftSince(before, /ipam\/test\/last_reserved_ip|^\+ cgroups: \S+\/tmp-bt[^/]*$/), []);
});

test('BERTH_WITHOUT with a name that is no feature is refused at the start', async (t) => {
  await using daemon = await TestDaemon.prepare();
  await daemon.launch({ BERTH_WITHOUT: 'nonsense' });
  t.not(await daemon.ended(), 0);
  t.regex(await daemon.log(), /nonsense/);
});
