import { writeFile } from 'node:fs/promises';
import test from 'ava';
import type { Input, NamespaceOption } from '../api/generated/types.ts';
import { idle, runPod, type TestContainer, type TestPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';
import { until } from './harness/until.ts';

// Namespace modes of containers, and the sysctls that live in the pod's namespaces.
const daemon = suiteDaemon();
type Options = Input<NamespaceOption>;

const podWith = (namespace_options: Options, sysctls: Record<string, string> = {}): Promise<TestPod> =>
  runPod(daemon(), { linux: { security_context: { namespace_options }, sysctls } });
const asking = (namespace_options: Options) => ({ linux: { security_context: { namespace_options } } });
const namespaceOf = async (container: TestContainer, kind: string): Promise<string> =>
  (await daemon().world.sh(`readlink /proc/${await container.pid()}/ns/${kind}`)).trim();
const hostNamespace = async (kind: string): Promise<string> =>
  (await daemon().world.sh(`readlink /proc/${daemon().pid}/ns/${kind}`)).trim();

const separate = { network: 'POD', pid: 'CONTAINER', ipc: 'POD' } as const;

test('a container gets no namespace of the host that its pod has not, and no mode that cannot be', async (t) => {
  const pod = await podWith(separate);
  for (const [field, mode, message] of [
    ['network', 'NODE', /namespace_options\.network: NODE in a pod that does not use the host's/],
    ['ipc', 'NODE', /namespace_options\.ipc: NODE in a pod that does not use the host's/],
    ['pid', 'NODE', /namespace_options\.pid: NODE in a pod that does not use the host's/],
    ['network', 'CONTAINER', /namespace_options\.network: CONTAINER is not possible/],
    ['network', 'TARGET', /namespace_options\.network: TARGET is not possible/],
    ['ipc', 'CONTAINER', /namespace_options\.ipc: CONTAINER is not possible/],
    ['ipc', 'TARGET', /namespace_options\.ipc: TARGET is not possible/],
  ] as const)
    await fails(t, pod.create('true', asking({ ...separate, [field]: mode })), 'invalid-argument', message);
});

test('a container that names no namespaces has those of its pod', async (t) => {
  const pod = await podWith({ network: 'NODE', pid: 'NODE', ipc: 'NODE' });
  const container = await pod.run(idle, { linux: { security_context: {} } });
  for (const kind of ['net', 'pid', 'ipc', 'uts']) t.is(await namespaceOf(container, kind), await hostNamespace(kind));
  const shared = await podWith({ pid: 'POD' });
  const [one, two] = [await shared.run(idle), await shared.run(idle, { linux: {} })];
  for (const kind of ['net', 'pid', 'ipc', 'uts']) {
    t.is(await namespaceOf(one, kind), await namespaceOf(two, kind));
    t.not(await namespaceOf(one, kind), await hostNamespace(kind));
  }
});

test('a container of its own pid namespace in a pod that shares one, or has the host’s', async (t) => {
  for (const pid of ['POD', 'NODE'] as const) {
    const pod = await podWith({ ...separate, pid });
    const container = await pod.run(`echo $$; ${idle}`, asking(separate));
    t.is((await container.exec('echo $PPID; cat /proc/1/comm')).stdout, '0\nsh\n');
    t.not(await namespaceOf(container, 'pid'), await hostNamespace('pid'));
  }
  // What POD means is the pod's to say: here, one for each container.
  const pod = await podWith(separate);
  const [one, two] = [await pod.run(idle, asking({ pid: 'POD' })), await pod.run(idle)];
  t.not(await namespaceOf(one, 'pid'), await namespaceOf(two, 'pid'));
});

test('TARGET: a container of the pod that has ended cannot be joined, at create or at start', async (t) => {
  const pod = await podWith(separate);
  const target = await pod.run(idle);
  const options = { ...separate, pid: 'TARGET', target_id: target.id } as const;
  const debug = await pod.create('true', asking(options));
  await target.stop();
  await fails(t, debug.start(), 'failed-precondition', /namespace_options\.target_id names does not run any more/);
  await fails(t, pod.create('true', asking(options)), 'failed-precondition', /does not run in this pod/);
});

test('TARGET: a pid that another process has by the time of the join is not joined: the start fails', async (t) => {
  const { world } = daemon();
  await writeFile(world.path('log.fault'), '');
  await daemon().killAndBoot({ BERTH_FAULT: world.path('log.fault') });
  const pod = await runPod(daemon());
  const target = await pod.run(idle);
  const debug = await pod.create(idle, asking({ ...separate, pid: 'TARGET', target_id: target.id }));
  const pid = await target.pid();
  await writeFile(world.path('log.fault'), 'pause@StartContainer:1');
  const start = debug.start();
  const failed = t.throwsAsync(start, { message: /join namespace the target has ended: ESRCH/ });
  await daemon().paused(AbortSignal.timeout(20_000));
  await world.sh(`kill -KILL ${pid}`);
  const again = `[ ! -e /proc/${pid} ] && echo ${pid - 1} >/proc/sys/kernel/ns_last_pid && { sleep 4444 >/dev/null 2>&1 & echo $!; }`;
  await until('another process has the pid', async () => {
    const given = Number((await world.run('sh', ['-c', again])).stdout);
    if (given !== 0 && given !== pid) await world.sh(`kill -KILL ${given}`);
    return given === pid;
  });
  await daemon().signal('CONT');
  await failed;
  t.is((await debug.status()).reason, 'StartError');
  await world.sh(`kill -KILL ${pid}`);
  await daemon().killAndBoot();
});

test('TARGET: in a pod that has the host’s pids, the namespace of the target is the host’s', async (t) => {
  const pod = await podWith({ ...separate, pid: 'NODE' });
  const target = await pod.run(idle);
  const debug = await pod.run(idle, asking({ ...separate, pid: 'TARGET', target_id: target.id }));
  t.is(await namespaceOf(debug, 'pid'), await hostNamespace('pid'));
  t.is((await debug.exec('echo alive')).stdout, 'alive\n');
});

test('target_id is refused where nothing is to be targeted', async (t) => {
  const pod = await podWith(separate);
  const target = await pod.run(idle);
  const call = pod.create('true', asking({ ...separate, target_id: target.id }));
  await fails(t, call, 'invalid-argument', /target_id: pid is CONTAINER, not TARGET/);
});

const sysctl = async (pod: TestPod, path: string): Promise<string> =>
  (await pod.output(`cat /proc/sys/${path} | tr '\\t' ' '`)).stdout.trim();

test('any user may bind low ports and ping: ip_unprivileged_port_start and ping_group_range, unless the pod has its own', async (t) => {
  const pod = await podWith(separate);
  t.is(await sysctl(pod, 'net/ipv4/ip_unprivileged_port_start'), '0');
  t.is(await sysctl(pod, 'net/ipv4/ping_group_range'), '0 2147483647');
  const nobody = {
    linux: { security_context: { run_as_user: { value: 1000n }, capabilities: { drop_capabilities: ['ALL'] } } },
  };
  // 143: it listened until its time was over.
  t.is((await pod.output('timeout 0.2 nc -l -p 80; echo $?', nobody)).stdout, '143\n');
  const own = await podWith(separate, {
    'net.ipv4.ip_unprivileged_port_start': '80',
    'net/ipv4/ping_group_range': '5 6',
  });
  t.is(await sysctl(own, 'net/ipv4/ip_unprivileged_port_start'), '80');
  t.is(await sysctl(own, 'net/ipv4/ping_group_range'), '5 6');
});

test('sysctls of ipc and network are the pod’s, safe and unsafe ones, and the host’s stay as they are', async (t) => {
  const asked = {
    'kernel.shmmax': '123456789',
    'kernel.sem': '100 200 30 40',
    'kernel.msgmni': '77',
    'fs.mqueue.msg_max': '13',
    'net.ipv4.tcp_syncookies': '0',
    'net.ipv4.conf.all.rp_filter': '2',
    'net/ipv4/conf/lo/forwarding': '1',
  };
  const files = Object.keys(asked).map((name) => `/proc/sys/${name.replaceAll('.', '/')}`);
  const read = `for file in ${files.join(' ')}; do tr '\\t' ' ' <$file; done`;
  const before = await daemon().world.sh(read);
  const pod = await podWith(separate, asked);
  t.deepEqual((await pod.output(read)).stdout.trim().split('\n'), Object.values(asked));
  t.is(await daemon().world.sh(read), before);
});

test('a sysctl of the host, of a namespace that the pod shares with it, or that is none, is refused and named', async (t) => {
  const bad = (options: Options, name: string, value = '1'): Promise<unknown> => podWith(options, { [name]: value });
  for (const name of ['kernel.pid_max', 'vm.max_map_count', 'fs.file-max', 'kernel.hostname', 'kernel.sem.x', 'net'])
    await fails(t, bad(separate, name), 'invalid-argument', new RegExp(`sysctl "?${name}`));
  for (const name of ['net..core', '../kernel/panic', 'net/../kernel/panic', 'net.ipv4.'])
    await fails(t, bad(separate, name), 'invalid-argument', /sysctl/);
  const host = { network: 'NODE', pid: 'CONTAINER', ipc: 'NODE' } as const;
  await fails(
    t,
    bad(host, 'net.ipv4.tcp_syncookies'),
    'invalid-argument',
    /tcp_syncookies: the pod uses the host's net/,
  );
  await fails(t, bad(host, 'kernel.shmmax'), 'invalid-argument', /kernel\.shmmax: the pod uses the host's IPC/);
  await fails(t, bad(separate, 'net.ipv4.no_such_sysctl'), 'invalid-argument', /no_such_sysctl/);
  await fails(t, bad(separate, 'net.ipv4.tcp_syncookies', 'nonsense'), 'invalid-argument', /tcp_syncookies/);
  t.deepEqual((await daemon().client.ListPodSandbox({})).items, []);
});
