import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';
import { crashAtEachStep } from '../../harness/crash.ts';
import { idle, runPod, type TestContainer } from '../../harness/pods.ts';
import { start } from '../../harness/scenarios.ts';
import { fails, suiteDaemon } from '../../harness/suite.ts';
import { until } from '../../harness/until.ts';
import { Cgroup, placeOf, root } from '../cgroup.ts';

const daemon = suiteDaemon({ driver: 'systemd' });
const systemctl = async (...words: readonly string[]): Promise<string> =>
  (await promisify(execFile)('systemctl', words)).stdout.trim();
const scopeOf = ({ id }: TestContainer): string => `berth-${id}.scope`;

test('RuntimeConfig tells kubelet the driver', async (t) => {
  t.deepEqual(await daemon().client.RuntimeConfig({}), { linux: { cgroup_driver: 'SYSTEMD' } });
});

test('a container is in a scope of its own below its pod’s slice, and nothing of it stays', async (t) => {
  const name = daemon().world.cgroup.replace('.slice', '');
  const pod = await runPod(daemon(), { linux: { cgroup_parent: `${name}-pod1.slice` } });
  const container = await pod.run(idle);
  const slice = `/${name}.slice/${name}-pod1.slice`;
  t.is(await placeOf(daemon(), await container.pid()), `${slice}/${scopeOf(container)}`);
  t.is(await systemctl('is-active', scopeOf(container)), 'active');
  t.is((await container.exec('cat /proc/self/cgroup')).stdout, '0::/\n');
  await container.stop();
  await until(
    'the unit is gone',
    async () => (await systemctl('show', '-P', 'LoadState', scopeOf(container))) === 'not-found',
  );
  await pod.remove();
  t.false(await new Cgroup(root + slice).exists());
  t.is(await systemctl('show', '-P', 'ActiveState', `${name}-pod1.slice`), 'inactive');
});

test('fifty containers at once are fifty scopes, and none stays when they have ended', async (t) => {
  const pods = await Promise.all(Array.from({ length: 5 }, () => runPod(daemon())));
  const containers = await Promise.all(pods.flatMap((pod) => Array.from({ length: 10 }, () => pod.run(idle))));
  const units = await systemctl('list-units', '--type=scope', '--plain', '--no-legend', 'berth-*');
  t.deepEqual(
    containers.filter((container) => !units.includes(scopeOf(container))),
    [],
  );
  await Promise.all(containers.map((container) => container.stop()));
  await Promise.all(pods.map((pod) => pod.remove()));
  t.is(await systemctl('list-units', '--all', '--type=scope', '--plain', '--no-legend', 'berth-*'), '');
});

test('a reload of systemd, a restart of the bus, and systemd executed anew keep limits, devices and processes, and starts go on', async (t) => {
  const pod = await runPod(daemon());
  const resources = { memory_limit_in_bytes: BigInt(64 << 20), cpu_quota: 12_000n, cpu_period: 100_000n };
  const container = await pod.run(idle, { linux: { resources } });
  const cgroup = new Cgroup(root + daemon().cgroupOf(container));
  const state = async (): Promise<readonly string[]> => [
    ...(await Promise.all(['memory.max', 'memory.swap.max', 'cpu.max', 'pids.max'].map((file) => cgroup.read(file)))),
    (await container.exec('mknod /tmp/d c 240 1 2>&1; head -c 1 /tmp/d 2>&1; rm -f /tmp/d')).stdout,
    `${await container.pid()}`,
  ];
  const before = await state();
  t.deepEqual(before.slice(0, 4), [`${64 << 20}`, '0', '12000 100000', 'max']);
  for (const words of [['daemon-reload'], ['restart', 'dbus.service'], ['daemon-reexec']]) {
    const others = pod.run('true');
    await systemctl(...words);
    await (await others).exited();
    t.deepEqual(await state(), before, words.join(' '));
  }
  await daemon().client.UpdateContainerResources({ container_id: container.id, linux: { cpu_quota: 54_321n } });
  t.is(await cgroup.read('cpu.max'), '54321 100000');
});

test('a scope has the stop signal and the grace period of its container, and waits for nobody', async (t) => {
  const pod = await runPod(daemon());
  const annotations = { 'io.kubernetes.pod.terminationGracePeriod': '7' };
  const container = await pod.run(idle, { annotations, stop_signal: 'SIGNAL_SIGQUIT' });
  const names = [
    'TimeoutStopUSec',
    'KillSignal',
    'Delegate',
    'CollectMode',
    'DevicePolicy',
    'OOMPolicy',
    'TasksMax',
    'After',
  ];
  const shown = await Promise.all(names.map((name) => systemctl('show', '-P', name, scopeOf(container))));
  t.deepEqual(shown.slice(0, -1), ['7s', '3', 'yes', 'inactive-or-failed', 'auto', 'continue', 'infinity']);
  t.regex(shown.at(-1) ?? '', /berth\.service/);
});

test('a container whose scope somebody stops has ended by that signal, and its pod goes on', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run('trap "exit 9" TERM; sleep 86400 & wait');
  await systemctl('stop', scopeOf(container));
  t.is((await container.exited()).exit_code, 9);
  await container.remove();
  t.is((await pod.output('echo on')).stdout, 'on\n');
});

test('a unit that stands in a scope’s place is cleared away, and a parent of the other driver is refused', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.create(idle);
  const other = execFile('systemd-run', ['--scope', `--unit=${scopeOf(container)}`, 'sleep', '600']);
  await until(
    'it stands there',
    async () => (await systemctl('show', '-P', 'ActiveState', scopeOf(container))) === 'active',
  );
  await container.start();
  t.is(await placeOf(daemon(), await container.pid()), daemon().cgroupOf(container));
  t.not(other.exitCode ?? other.signalCode, null);
  const parent = { linux: { cgroup_parent: '/kubepods/pod1' } };
  await fails(t, runPod(daemon(), parent), 'failed-precondition', /set kubelet's cgroupDriver to systemd/);
});

test('a kill of the daemon at each step of StartContainer leaves a container that runs or has ended, and no scope', async (t) => {
  t.true((await crashAtEachStep(t, daemon(), start)) >= start.steps + 3);
});
