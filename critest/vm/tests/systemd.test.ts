import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { isDeepStrictEqual, promisify } from 'node:util';
import test from 'ava';
import { agentCrashAtStep, crashAtEachStep } from '../../harness/crash.ts';
import { idle, runPod, type TestContainer } from '../../harness/pods.ts';
import type { Resources } from '../../harness/resource-rows.ts';
import { start, update } from '../../harness/scenarios.ts';
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
  const left = () => systemctl('list-units', '--all', '--type=scope', '--plain', '--no-legend', 'berth-*');
  await until('systemd has removed them all', async () => (await left()) === '');
  t.pass();
});

test('who is killed in a scope that is gone before it can be asked is OOMKilled when the kernel did it, and not when a sibling was before', async (t) => {
  const linux = { resources: { memory_limit_in_bytes: BigInt(24 << 20) } };
  const pod = await runPod(daemon());
  const { world, client } = daemon();
  /** It ends while its supervisor sleeps, and systemd removes the scope meanwhile. */
  const endOf = async (container: TestContainer, end: (pid: number) => string) => {
    const pid = await container.pid();
    // what came to its supervisor before has been seen after that
    await client.ReopenContainerLog({ container_id: container.id });
    const cgroup = new Cgroup(root + daemon().cgroupOf(container));
    const supervisor = (await world.sh(`awk '{print $4}' /proc/${pid}/stat`)).trim();
    await world.sh(`kill -STOP ${supervisor}; ${end(pid)}`);
    await until('the scope is gone', async () => !(await cgroup.exists()));
    await world.sh(`kill -CONT ${supervisor}`);
    const { reason, exit_code } = await container.exited();
    return [reason, exit_code];
  };
  const [killed, sibling] = [await pod.run(idle, { linux }), await pod.run(idle, { linux })];
  t.is((await sibling.exec(['eat', '200'])).code, 137);
  t.deepEqual(await endOf(killed, (pid) => `kill -KILL ${pid}`), ['Error', 137]);
  const eater = await pod.run('until [ -e /go ]; do usleep 20000; done; exec eat 200', { linux });
  t.deepEqual(await endOf(eater, (pid) => `touch /proc/${pid}/root/go`), ['OOMKilled', 137]);
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

/** Files that systemd writes without a word for their values, or rounded, and some that it leaves; each where the kernel has it. */
const unlike = {
  'memory.oom.group': '1',
  'memory.zswap.max': `${4 << 20}`,
  'memory.zswap.writeback': '0',
  'memory.swap.high': `${1 << 20}`,
  'cpu.max': '12345 100000',
  'cpu.max.burst': '5000',
  'hugetlb.2MB.max': `${2 << 20}`,
};

test('values that systemd has no word for stay at updates of others, at its reloads, and when it reloads while no daemon is there', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run(idle);
  const cgroup = new Cgroup(root + daemon().cgroupOf(container));
  const there = await readdir(cgroup.path);
  const unified = Object.fromEntries(Object.entries(unlike).filter(([file]) => there.includes(file)));
  const files = Object.keys(unified);
  t.true(files.length >= 4, files.join());
  const held = async (): Promise<Record<string, string>> =>
    Object.fromEntries(await Promise.all(files.map(async (file) => [file, await cgroup.read(file)] as const)));
  const update = (linux: Resources): Promise<unknown> =>
    daemon().client.UpdateContainerResources({ container_id: container.id, linux });
  await update({ unified });
  t.deepEqual(await held(), unified, 'set');
  await update({ cpu_shares: 700n });
  t.deepEqual(await held(), unified, 'another limit updated');
  await update({ memory_limit_in_bytes: BigInt(64 << 20), unified: { 'memory.oom.group': '0' } });
  await update({ memory_limit_in_bytes: BigInt(96 << 20), unified });
  t.deepEqual(await held(), unified, 'changed and changed back');
  await fails(t, update({ cpu_shares: 2n, unified: { 'memory.low': 'no number' } }), 'invalid-argument', /memory\.low/);
  t.deepEqual(await held(), unified, 'an update refused half way');
  for (const words of ['daemon-reload', 'daemon-reexec']) {
    await systemctl(words);
    await systemctl('show', '-P', 'Version'); // answered when it is done
    await until(`they are there again after ${words}`, async () => isDeepStrictEqual(await held(), unified), 20);
  }
  await daemon().kill();
  await systemctl('daemon-reload');
  await systemctl('set-property', '--runtime', scopeOf(container), 'CPUWeight=50');
  await daemon().boot();
  await until('they are there again after a start', async () => isDeepStrictEqual(await held(), unified), 20);
  t.is(await cgroup.read('memory.max'), `${96 << 20}`);
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
  const container = await pod.run('trap "exit 9" TERM; echo ready; sleep 86400 & wait');
  await until('the trap is set', async () => (await container.text()) === 'ready\n');
  await systemctl('stop', scopeOf(container));
  t.is((await container.exited()).exit_code, 9);
  await container.remove();
  t.is((await pod.output('echo on')).stdout, 'on\n');
});

test('a systemd that does not answer delays no record of an end', async (t) => {
  const { world } = daemon();
  const pod = await runPod(daemon());
  const container = await pod.run(idle);
  const connections = (): Promise<string> => world.sh('grep -c " /run/systemd/private$" /proc/net/unix || true');
  await until('berthd has left its connection', async () => (await connections()).trim() === '0');
  const silent = createServer().listen(world.path('silent'));
  await once(silent, 'listening');
  await world.sh(`mount --bind ${world.path('silent')} /run/systemd/private`);
  try {
    for (const pid of await daemon().pidsOf('berth-shim')) await world.run('kill', ['-9', `${pid}`]);
    await until('its end is recorded', async () => (await container.status()).state === 'CONTAINER_EXITED', 15);
    t.is((await container.status()).exit_code, 137);
  } finally {
    await world.sh('umount /run/systemd/private');
    silent.close();
  }
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
  t.true(await until('it has ended', () => (other.exitCode ?? other.signalCode) !== null));
  const wrong = { linux: { resources: { unified: { 'cpu.weight': '0' } } } };
  await fails(t, pod.run(idle, wrong), 'invalid-argument', /: cpu_shares: write \S+\/cpu\.weight: ERANGE$/);
  const parent = { linux: { cgroup_parent: '/kubepods/pod1' } };
  await fails(t, runPod(daemon(), parent), 'failed-precondition', /set kubelet's cgroupDriver to systemd/);
});

test('a kill of the daemon at each step of StartContainer leaves a container that runs or has ended, and no scope', async (t) => {
  t.true((await crashAtEachStep(t, daemon(), start)) >= start.steps + 3);
});

test('a kill of the daemon at each step of UpdateContainerResources leaves the old limits or the new ones, for kernel, systemd and status alike', async (t) => {
  t.true((await crashAtEachStep(t, daemon(), update)) >= update.steps + 1);
});

// The scope, its limits, and the go: the process is born and waits.
for (const step of [2, 3, 4])
  test(`a kill of the agent at step ${step} of a start in a scope leaves a container that runs or has ended, and no scope`, (t) =>
    agentCrashAtStep(t, daemon(), start, step));
