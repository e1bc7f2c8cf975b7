import { mkdir } from 'node:fs/promises';
import test from 'ava';
import { TestDaemon } from './harness/daemon.ts';
import { names } from './harness/images.ts';
import { idle, runPod, type TestPod } from './harness/pods.ts';
import { fails, removePods } from './harness/suite.ts';
import { until } from './harness/until.ts';

const switches =
  'lowerdir-plus overlay-new-api cgroup-kill clone-into-cgroup recursive-read-only idmapped-overlay-lower memfd-exec';

test('every feature that the daemon tells of has a test here', async (t) => {
  await using daemon = await TestDaemon.start({ images: [] });
  const { features } = await daemon.client.Info({});
  t.deepEqual(features.map(({ name }) => name).sort(), switches.split(' ').sort());
});

/** An image of 90 layers, whose names are more than mount(2) takes; its topmost layer wins, and it can be written. */
const manyLayers = async (pod: TestPod): Promise<string> => {
  const script = 'ls / | grep -c layer-; cat /top; echo new >/top; cat /top; rm /layer-3; ls / | grep -c layer-';
  return (await pod.output(script, { image: { image: names.deep } })).stdout;
};

/** On the host's pids all of the cgroup must be found and killed. */
const killed = async (daemon: TestDaemon): Promise<string> => {
  const linux = { security_context: { namespace_options: { pid: 'NODE' as const } } };
  const container = await (await runPod(daemon, { linux })).run('(setsid sleep 4567 &); exec sleep 4567', { linux });
  const sleepers = (): Promise<string> => daemon.world.sh('ps -C sleep -o args= | grep -c 4567 || true');
  await until('both run', async () => (await sleepers()) === '2\n');
  await container.stop(0);
  return sleepers();
};

for (const label of switches.split(' '))
  test(`without ${label}: an image of 90 layers runs, and all of a container on the host’s pids is killed`, async (t) => {
    await using daemon = await TestDaemon.start({
      env: { BERTH_WITHOUT: label },
      images: [names.busybox, names.deep],
    });
    const { features } = await daemon.client.Info({});
    t.false(features.find(({ name }) => name === label)?.present);
    await (await runPod(daemon)).remove(); // makes what stays: the bridge, the directory of the pins
    const before = await daemon.snapshot();
    const pod = await runPod(daemon);
    t.is(await manyLayers(pod), '89\n88\nnew\n88\n');
    const container = await pod.run(idle);
    t.is((await container.exec('echo out; exit 4')).stdout, 'out\n');
    await container.stop(5);
    t.is(await killed(daemon), '0\n');
    await removePods(daemon);
    t.deepEqual(await daemon.leftSince(before, /root\/seccomp|last_reserved_ip/), []);
  });

test('a recursive read-only mount is read-only below, too; a kernel that cannot is named in the refusal', async (t) => {
  await using daemon = await TestDaemon.start();
  const host_path = daemon.world.path('tree');
  await mkdir(`${host_path}/below`, { recursive: true });
  await daemon.world.sh(`mount -t tmpfs tmpfs ${host_path}/below`);
  const mount = { host_path, container_path: '/tree', readonly: true };
  const script = 'touch /tree/file; touch /tree/below/file; echo $?';
  const pod = await runPod(daemon);
  const plain = await pod.output(script, { mounts: [mount] });
  t.is(plain.stdout, '0\n', 'a mount below is writable as it was');
  const recursive = { mounts: [{ ...mount, recursive_read_only: true }] };
  const { stdout, stderr } = await pod.output(script, recursive);
  t.is(stdout, '1\n');
  t.regex(stderr, /\/tree\/below\/file: Read-only file system/);
  await daemon.killAndBoot({ BERTH_WITHOUT: 'recursive-read-only' });
  await fails(t, pod.create(script, recursive), 'unimplemented', /RROUnsupported: needs Linux 5\.12/);
  const { runtime_handlers } = await daemon.client.Status({});
  t.deepEqual(new Set(runtime_handlers.map(({ features }) => features?.recursive_read_only_mounts)), new Set([false]));
});
