import test from 'ava';
import { idle, runPod } from '../../harness/pods.ts';
import { suiteDaemon } from '../../harness/suite.ts';
import { until } from '../../harness/until.ts';
import { Cgroup, cgroupOf, placeOf, root } from '../cgroup.ts';

// What a test of this file mounts over files of a cgroup that is then removed can be named by nobody any more.
const daemon = suiteDaemon({ config: { limits: { pids: 1000 } }, ignore: /^\+ mounts: \/null / });

test('a container runs, and its log and exit code are told', async (t) => {
  const { stdout, status } = await (await runPod(daemon())).output('echo hello; exit 3');
  t.is(stdout, 'hello\n');
  t.is(status.exit_code, 3);
});

test('memory, swap, cpu and pids limits are in the files of the cgroup', async (t) => {
  const resources = { memory_limit_in_bytes: 64 << 20, cpu_quota: 20_000, cpu_period: 50_000, cpu_shares: 512 };
  const container = await (await runPod(daemon())).run(idle, { linux: { resources } });
  const cgroup = cgroupOf(daemon(), container);
  const files = ['memory.max', 'memory.swap.max', 'cpu.max', 'cpu.weight', 'pids.max'];
  const values = await Promise.all(files.map((file) => cgroup.read(file)));
  t.deepEqual(values, [String(64 << 20), '0', '20000 50000', '59', '1000']);
});

test('what the request says for v2 itself is written last', async (t) => {
  const resources = {
    memory_limit_in_bytes: 64 << 20,
    unified: { 'memory.high': String(32 << 20), 'cpu.weight': '7' },
  };
  const container = await (await runPod(daemon())).run(idle, { linux: { resources } });
  const cgroup = cgroupOf(daemon(), container);
  t.is(await cgroup.read('memory.high'), String(32 << 20));
  t.is(await cgroup.read('cpu.weight'), '7');
});

test('a container that was killed for its memory says OOMKilled and 137, and its pod lives on', async (t) => {
  const pod = await runPod(daemon());
  const other = await pod.run(idle);
  const resources = { memory_limit_in_bytes: 16 << 20 };
  const { status } = await pod.output(['eat', '200'], { linux: { resources } });
  t.deepEqual([status.reason, status.exit_code], ['OOMKilled', 137]);
  t.is((await other.status()).state, 'CONTAINER_RUNNING');
});

test('the container is in its cgroup, which its cgroup namespace shows as the root', async (t) => {
  const container = await (await runPod(daemon())).run(idle);
  t.is(await placeOf(daemon(), await container.pid()), daemon().cgroupOf(container));
  t.is((await container.exec('cat /proc/1/cgroup /proc/self/cgroup')).stdout, '0::/\n0::/\n');
});

test('an exec joins the cgroup of its container', async (t) => {
  const container = await (await runPod(daemon())).run(idle);
  const running = container.exec('until [ -e /go ]; do sleep 0.1; done; cat /proc/self/cgroup');
  const cgroup = cgroupOf(daemon(), container);
  await until('the exec runs in the cgroup', async () => (await cgroup.words('cgroup.procs')).length >= 4);
  await daemon().world.sh(`touch /proc/${await container.pid()}/root/go`);
  t.is((await running).stdout, '0::/\n');
});

test('/sys/fs/cgroup shows the container its own cgroup, read-only', async (t) => {
  const resources = { memory_limit_in_bytes: 32 << 20 };
  const script =
    'cat /sys/fs/cgroup/memory.max; echo 7 2>&1 >/sys/fs/cgroup/pids.max; mkdir /sys/fs/cgroup/own 2>&1; ls -d /sys/fs/cgroup/..';
  const { stdout, stderr } = await (await runPod(daemon())).output(script, { linux: { resources } });
  t.regex(stdout, new RegExp(`^${32 << 20}\n`));
  t.regex(stdout + stderr, /pids\.max: Read-only file system/);
  t.regex(stdout, /own'?: Read-only file system/);
});

test('a privileged container sees the machine’s cgroups, writable', async (t) => {
  const linux = { security_context: { privileged: true } };
  const pod = await runPod(daemon(), { linux });
  const name = `${daemon().world.cgroup}/made-inside`;
  const { stdout, stderr } = await pod.output(
    `cat /proc/self/cgroup; mkdir /sys/fs/cgroup/${name} && rmdir /sys/fs/cgroup/${name} && echo made`,
    { linux },
  );
  t.regex(stdout, new RegExp(`^0::/${daemon().world.cgroup}/(berth-)?[0-9a-f]{64}(.scope)?\nmade\n$`), stderr);
});

test('a privileged container changes no option of the machine’s cgroup mount', async (t) => {
  const options = (): Promise<string> => daemon().world.sh('grep " - cgroup2 " /proc/self/mountinfo | sed "s/.* - //"');
  // Without the namespace of the machine's cgroups an option cannot be set; the daemon is in it.
  await daemon().world.sh('mount -o remount,nsdelegate,memory_recursiveprot /sys/fs/cgroup');
  const before = await options();
  t.regex(before, /nsdelegate.*memory_recursiveprot/);
  const linux = { security_context: { privileged: true } };
  const { stdout } = await (await runPod(daemon(), { linux })).output('cat /proc/self/mounts', { linux });
  t.regex(stdout, /^\S+ \/sys\/fs\/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime/m);
  t.is(await options(), before);
});

test('the supervisor is beside the daemon in the service, not in the cgroup of the container', async (t) => {
  const container = await (await runPod(daemon())).run(idle);
  const supervisors = await daemon().pidsOf('berth-shim');
  t.is(supervisors.length, 1);
  const place = await placeOf(daemon(), supervisors[0] ?? 0);
  const service = (await placeOf(daemon(), daemon().pid)).replace(/\/daemon$/, '');
  t.is(place, `${service}/supervisors`);
  t.false(place.includes(container.id));
});

test('controllers are handed down to the container, and no process is in a directory on the way', async (t) => {
  const parent = daemon().parentOf('kubepods', 'burstable');
  const container = await (await runPod(daemon(), { linux: { cgroup_parent: parent } })).run(idle);
  for (const path of ['', `/${daemon().world.cgroup}`, daemon().parentOf('kubepods'), parent]) {
    const cgroup = new Cgroup(root + path);
    const handed = await cgroup.words('cgroup.subtree_control');
    for (const name of ['cpu', 'memory', 'pids']) t.true(handed.includes(name), `${path}: ${name}`);
    if (path !== '') t.deepEqual(await cgroup.words('cgroup.procs'), [], path);
  }
  const cgroup = cgroupOf(daemon(), container, parent);
  t.deepEqual(await cgroup.words('cgroup.subtree_control'), []);
  t.deepEqual(await cgroup.children(), []);
});

test('stop kills what left the session and the process group, and the cgroup goes', async (t) => {
  const script =
    'trap "" TERM; (setsid sh -c "trap \\"\\" TERM HUP; while :; do sleep 1000; done" &); while :; do sleep 1000; done';
  const container = await (await runPod(daemon())).run(script);
  const cgroup = cgroupOf(daemon(), container);
  await until('all run', async () => (await cgroup.words('cgroup.procs')).length >= 4);
  await container.stop(1);
  t.is((await container.status()).exit_code, 137);
  await until('its cgroup has gone', async () => !(await cgroup.exists()));
});

test('a container on the host’s pids is killed by cgroup.kill: its processes are not looked for', async (t) => {
  const linux = { security_context: { namespace_options: { pid: 'NODE' as const } } };
  const container = await (await runPod(daemon(), { linux })).run('(setsid sleep 1000 &); sleep 1000', { linux });
  const cgroup = cgroupOf(daemon(), container);
  await until('all run', async () => (await cgroup.words('cgroup.procs')).length >= 2);
  // Where the supervisor looks, the files that the other way of killing needs are empty.
  const { world } = daemon();
  await world.sh(`cd ${cgroup.path} && for file in cgroup.procs cgroup.freeze; do mount --bind /dev/null $file; done`);
  const started = performance.now();
  await container.stop(0);
  t.true(performance.now() - started < 5000);
  await until('its cgroup has gone', async () => !(await cgroup.exists()));
});

test('a container lives on while the daemon is dead, and its end is known to the next one', async (t) => {
  const pod = await runPod(daemon());
  const container = await pod.run('until [ -e /go ]; do sleep 0.1; done; exit 7');
  const other = await pod.run(idle);
  const cgroup = cgroupOf(daemon(), container);
  const root = `/proc/${await container.pid()}/root`;
  await daemon().kill();
  t.true(await cgroup.exists());
  await daemon().world.sh(`touch ${root}/go`);
  await until('it has ended while no daemon was there', async () => !(await cgroup.exists()));
  await daemon().boot();
  t.is((await container.exited()).exit_code, 7);
  t.is((await other.status()).state, 'CONTAINER_RUNNING');
  t.is((await other.exec('cat /proc/self/cgroup')).stdout, '0::/\n');
});

test('without clone into a cgroup and cgroup.kill, containers and execs join theirs and all of it is killed', async (t) => {
  await daemon().killAndBoot({ BERTH_WITHOUT: 'clone-into-cgroup,cgroup-kill' });
  const linux = { security_context: { namespace_options: { pid: 'NODE' as const } } };
  const container = await (await runPod(daemon(), { linux })).run('(setsid sleep 1000 &); sleep 1000', { linux });
  const place = daemon().cgroupOf(container);
  t.is(await placeOf(daemon(), await container.pid()), place);
  t.is((await container.exec('cat /proc/self/cgroup')).stdout, '0::/\n');
  const cgroup = cgroupOf(daemon(), container);
  await until('all run', async () => (await cgroup.words('cgroup.procs')).length >= 2);
  await container.stop(0);
  await until('its cgroup has gone', async () => !(await cgroup.exists()));
  t.is(await daemon().world.sh('ps -C sleep -o args= | grep -c 1000 || true'), '0\n');
  await daemon().killAndBoot();
});
