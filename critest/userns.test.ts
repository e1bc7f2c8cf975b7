import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import type { Input, LinuxContainerSecurityContext, NamespaceOption } from '../api/generated/types.ts';
import { names } from './harness/images.ts';
import { fresh, idle, runPod, type TestContainer, type TestPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';
import { sourceTree } from './harness/tree.ts';
import { until } from './harness/until.ts';

const daemon = suiteDaemon({ images: [names.busybox, names.layered, names.volume] });
type Security = Input<LinuxContainerSecurityContext>;

const size = 65536;
const mapping = (host_id: number, length = size) => [{ host_id, container_id: 0, length }];
const options = (first: number, more: Input<NamespaceOption> = {}): Input<NamespaceOption> => ({
  pid: 'CONTAINER',
  ...more,
  userns_options: { mode: 'POD', uids: mapping(first), gids: mapping(first) },
});
/** A pod whose root is `first` on the host. */
const mapped = (first = 100_000, more: Input<NamespaceOption> = {}, context: Security = {}): Promise<TestPod> =>
  runPod(daemon(), {
    hostname: '',
    linux: { security_context: { ...context, namespace_options: options(first, more) } },
  });
const sh = (script: string): Promise<string> => daemon().world.sh(script);
const idsOf = async (pid: number): Promise<string> =>
  (await sh(`awk '$1 ~ /^(Uid|Gid|Groups):/ {print $2}' /proc/${pid}/status | xargs`)).trim();
const layerOf = ({ id }: TestContainer): string => daemon().world.path('root/containers', id, 'upper');
const hostDirectory = async (): Promise<string> => {
  const path = daemon().world.path('logs', fresh('volume'));
  await mkdir(path);
  await chmod(path, 0o777);
  return path;
};

test('a pod has a user namespace with the mapping of the request, and all its other namespaces belong to that', async (t) => {
  const pod = await mapped(100_000);
  const container = await pod.run(idle);
  const pid = await container.pid();
  const map = await sh(`cat /proc/${pid}/uid_map /proc/${pid}/gid_map | xargs`);
  t.is(map.trim(), `0 100000 ${size} 0 100000 ${size}`);
  t.is(await idsOf(pid), '100000 100000 100000');
  const owners = await sh(`lsns -n -r -o TYPE,NS,ONS -p ${pid}`);
  const found = new Map(
    owners
      .trim()
      .split('\n')
      .map((line) => [line.split(' ')[0] ?? '', line.split(' ').slice(1)]),
  );
  const user = found.get('user')?.[0];
  for (const type of ['mnt', 'net', 'ipc', 'uts', 'pid', 'cgroup']) t.is(found.get(type)?.[1], user, type);
  t.not(user, (await sh('readlink /proc/self/ns/user')).replaceAll(/\D/g, ''));
  const { status, info } = await daemon().client.PodSandboxStatus({ pod_sandbox_id: pod.id, verbose: true });
  t.like(status?.linux?.namespaces?.options?.userns_options, {
    mode: 'POD',
    uids: mapping(100_000),
    gids: mapping(100_000),
  });
  t.regex(info.info ?? '', /"type":"user","path":"[^"]+\/user"/);
});

test('a second container and an exec are in the same user namespace, a second pod is in another one', async (t) => {
  const pod = await mapped(100_000);
  const [one, two] = [await pod.run(idle), await pod.run(idle)];
  const other = await (await mapped(200_000)).run(idle);
  const ns = async (container: TestContainer): Promise<string> => sh(`readlink /proc/${await container.pid()}/ns/user`);
  t.is(await ns(one), await ns(two));
  t.not(await ns(one), await ns(other));
  const { stdout } = await one.exec(
    'cd /proc; for n in user mnt pid net ipc uts; do readlink 1/ns/$n; readlink self/ns/$n; done | uniq -c',
  );
  t.deepEqual(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.trim()[0]),
    ['2', '2', '2', '2', '2', '2'],
    stdout,
  );
});

test('what an image holds has its own owners in pods of different mappings at once, and what they write has theirs on the host', async (t) => {
  const image = { image: names.layered };
  const script =
    'stat -c "%u %g %a %n" / /bin/busybox /added /home/tester; chown 7:8 /added; mkdir /made; touch /made/x; id -u';
  const run = async (first: number): Promise<TestContainer> =>
    (await mapped(first)).run(`${script}; ${idle}`, { image });
  const [one, two] = await Promise.all([run(100_000), run(300_000)]);
  const text = '0 0 755 /\n0 0 755 /bin/busybox\n0 0 644 /added\n0 0 755 /home/tester\n0\n';
  for (const [container, first] of [
    [one, 100_000],
    [two, 300_000],
  ] as const) {
    await until('it has written', async () => (await container.text()) === text);
    const owners = await sh(`cd ${layerOf(container)} && stat -c "%u:%g %a %n" . added made made/x`);
    t.is(
      owners,
      `${first}:${first} 755 .\n${first + 7}:${first + 8} 644 added\n${first}:${first} 755 made\n${first}:${first} 644 made/x\n`,
    );
    t.is((await container.exec('stat -c %u:%g /added')).stdout, '7:8\n');
  }
  t.is(await sh(`find ${daemon().world.path('root/images')} -uid +99999 | wc -l`), '0\n', 'layers stay as they are');
  await one.stop();
  await one.remove();
  await until(
    'its layer is gone, now or behind',
    async () => (await sh(`ls -d ${layerOf(one)} 2>/dev/null || true`)) === '',
  );
});

test('uidMappings and gidMappings show the owners of a volume as the container knows them; without them they are nobody', async (t) => {
  const [given, plain] = [await hostDirectory(), await hostDirectory()];
  await sh(`touch ${given}/root ${given}/ten ${plain}/root; chown 10:11 ${given}/ten`);
  const both = { uidMappings: mapping(100_000), gidMappings: mapping(100_000) };
  const mounts = [
    { host_path: given, container_path: '/given', ...both },
    { host_path: plain, container_path: '/plain' },
    { host_path: `${given}/ten`, container_path: '/file', readonly: true, ...both },
  ];
  const script = 'touch /given/new /plain/new; cd /; stat -c "%u:%g %n" given/* plain/* file';
  const { stdout, stderr } = await (await mapped(100_000)).output(script, { mounts });
  t.is(
    stdout,
    '0:0 given/new\n0:0 given/root\n10:11 given/ten\n0:0 plain/new\n65534:65534 plain/root\n10:11 file\n',
    stderr,
  );
  const there = await sh(`stat -c "%u:%g" ${given}/new ${plain}/new`);
  t.is(there, '0:0\n100000:100000\n');
});

test('a mapping of a mount that is not its pod’s is refused', async (t) => {
  const pod = await mapped(100_000);
  const host_path = await hostDirectory();
  const create = (ids: object): Promise<unknown> =>
    pod.create('true', { mounts: [{ host_path, container_path: '/data', ...ids }] });
  const [right, wrong] = [mapping(100_000), mapping(100_001)];
  await fails(
    t,
    create({ uidMappings: wrong, gidMappings: right }),
    'invalid-argument',
    /\/data: uidMappings: not those of the pod/,
  );
  await fails(
    t,
    create({ uidMappings: right, gidMappings: wrong }),
    'invalid-argument',
    /\/data: gidMappings: not those of the pod/,
  );
  await fails(t, create({ uidMappings: right }), 'invalid-argument', /\/data: gidMappings/);
  await fails(
    t,
    create({ uidMappings: right, gidMappings: mapping(100_000, 5) }),
    'invalid-argument',
    /\/data: gidMappings/,
  );
});

test('a volume of a file system that cannot map ids fails the start, and says why', async (t) => {
  const pod = await mapped(100_000);
  const ids = { uidMappings: mapping(100_000), gidMappings: mapping(100_000) };
  const container = await pod.create('true', { mounts: [{ host_path: '/proc', container_path: '/data', ...ids }] });
  await fails(t, container.start(), 'invalid-argument', /map the ids \(can its file system\?\) of \/proc: EINVAL/);
});

test('an image volume and a VOLUME have the owners of their images', async (t) => {
  const mounts = [{ image: { image: names.layered }, container_path: '/image', readonly: true }];
  const { stdout, stderr } = await (await mapped(100_000)).output(
    'stat -c "%u:%g %n" /image /image/added /image/bin/busybox /data; touch /data/x && stat -c %u:%g /data/x',
    { mounts, image: { image: names.volume } },
  );
  t.is(stdout, '0:0 /image\n0:0 /image/added\n0:0 /image/bin/busybox\n0:0 /data\n0:0\n', stderr);
});

test('the mounts that every container has are its root’s: shm, mqueue, dev, pts, proc, sys and the pod’s files', async (t) => {
  const script = `cd /; stat -c "%u:%g %A %n" dev dev/null dev/pts dev/shm dev/mqueue etc/hosts etc/hostname etc/resolv.conf proc/sys/net/ipv4/ip_forward
touch /dev/shm/x /dev/mqueue/q && stat -c %u:%g /dev/shm/x /dev/mqueue/q
echo x >/dev/null && head -c 2 /dev/zero | wc -c; test -e /dev/fd/0 && echo fd; ls /proc/self/root/bin/sh /sys/class/net | xargs
awk '$5 ~ /^.(sys|proc).?$/ {print $5, $6}' /proc/self/mountinfo | sort`;
  const { stdout, stderr } = await (await mapped(100_000)).output(script);
  t.deepEqual(
    stdout.trim().split('\n'),
    [
      '0:0 drwxr-xr-x dev',
      '0:0 crw-rw-rw- dev/null',
      '0:0 drwxr-xr-x dev/pts',
      '0:0 drwxrwxrwt dev/shm',
      '0:0 drwxrwxrwt dev/mqueue',
      '0:0 -rw-r--r-- etc/hosts',
      '0:0 -rw-r--r-- etc/hostname',
      '0:0 -rw-r--r-- etc/resolv.conf',
      '0:0 -rw-r--r-- proc/sys/net/ipv4/ip_forward',
      '0:0',
      '0:0',
      '2',
      'fd',
      '/proc/self/root/bin/sh /sys/class/net: eth0 lo',
      '/proc rw,nosuid,nodev,noexec,relatime',
      '/sys ro,nosuid,nodev,noexec,relatime',
    ],
    stderr,
  );
});

test('containerd 2025-47291: a process of a pod with a user namespace is in the cgroup that the pod names', async (t) => {
  for (const pid of ['CONTAINER', 'POD'] as const) {
    const container = await (await mapped(100_000, { pid })).run(idle);
    const lines = (await sh(`cat /proc/${await container.pid()}/cgroup`)).trim().split('\n');
    const place = `/${daemon().world.cgroup}/${container.id}`;
    for (const line of lines.filter((one) => !/^0:|hugetlb/.test(one) || lines.length === 1))
      t.true(line.endsWith(`:${place}`), line);
    t.regex((await container.exec('cat /proc/self/cgroup; echo; ls /sys/fs/cgroup')).stdout, /:\/\n/);
  }
});

test('containers that share a pid namespace see each other, and have nothing of the host through its init', async (t) => {
  const pod = await mapped(100_000, { pid: 'POD' });
  const capabilities = { add_capabilities: ['SYS_PTRACE', 'SYS_ADMIN'] };
  const one = await pod.run('exec sleep 3333');
  const two = await pod.run(idle, {
    linux: { security_context: { namespace_options: options(100_000, { pid: 'POD' }), capabilities } },
  });
  const { stdout } = await two.exec(
    'ps | grep -c "[s]leep 3333"; cat /proc/1/comm; ls /proc/1/root 2>&1; cat /proc/1/environ 2>&1; kill -9 1; cat /proc/1/comm',
  );
  t.regex(
    stdout,
    /^1\nberth-init\nls: \/proc\/1\/root: Permission denied\ncat: can't open '\/proc\/1\/environ': Permission denied\n/,
  );
  t.regex(stdout, /berth-init\n$/);
  const user = await sh(`readlink /proc/${await one.pid()}/ns/user`);
  const init = (
    await sh(`for p in $(pidof berth-init); do [ "$(readlink /proc/$p/ns/user)" = "${user.trim()}" ] && echo $p; done`)
  ).trim();
  t.is(await idsOf(Number(init)), '165533 165533');
  t.is((await sh(`lsns -n -r -o TYPE,NS,ONS -p ${init} -t pid`)).trim().split(' ')[2], user.replaceAll(/\D/g, ''));
});

test('TARGET joins the pid namespace of another container of the pod', async (t) => {
  const pod = await mapped(100_000);
  const target = await pod.run(['sleep', '4343']);
  const namespace_options = options(100_000, { pid: 'TARGET', target_id: target.id });
  const { stdout, stderr } = await pod.output('ps | grep "[s]leep"; cat /proc/1/cmdline', {
    linux: { security_context: { namespace_options } },
  });
  t.regex(stdout, /^ +1 root +sleep 4343\nsleep.4343/, stderr);
});

test('with the host’s network the container has its links, and a /sys that is read-only', async (t) => {
  const pod = await mapped(100_000, { network: 'NODE' });
  const container = await pod.run(idle);
  const { stdout } = await container.exec(
    'ls -l /proc/self/ns/net | sed "s/.* //"; ls /sys/class/net | xargs; awk \'$5 == "/sys" {print $6, $(NF-2)}\' /proc/self/mountinfo; cat /proc/self/uid_map | xargs; ip link add x type dummy 2>&1; echo 1 2>&1 >/sys/class/net/lo/proto_down; ls /sys/kernel/debug | wc -l',
  );
  const [net, links, sys, map, ...refused] = stdout.trim().split('\n');
  t.is(net, (await sh('readlink /proc/self/ns/net')).trim());
  t.is(links, (await sh("ip -o link | sed 's/^[0-9]*: //; s/[@:].*//' | sort | xargs")).trim());
  t.deepEqual([sys, map], ['ro,nosuid,nodev,noexec,relatime sysfs', `0 100000 ${size}`]);
  t.regex(refused.join('\n'), /not permitted.*\n.*(Read-only|Permission).*\n0$/);
  const { features, runtime_handlers } = await daemon().client.Status({});
  t.true(features?.user_namespaces_host_network);
  t.true(runtime_handlers.every((handler) => handler.features?.user_namespaces));
});

test('sysctls of the pod are set, those of its ipc namespace too; ping_group_range stays the kernel’s', async (t) => {
  const linux = {
    security_context: { namespace_options: options(100_000) },
    sysctls: { 'kernel.shm_rmid_forced': '1', 'net.ipv4.ip_forward': '1', 'fs.mqueue.msg_max': '11' },
  };
  const container = await (await runPod(daemon(), { linux })).run(idle);
  const files = 'kernel/shm_rmid_forced net/ipv4/ip_forward fs/mqueue/msg_max net/ipv4/ip_unprivileged_port_start';
  t.is((await container.exec(`cd /proc/sys; cat ${files} | xargs`)).stdout, '1 1 11 0\n');
  // Inside, groups that are not mapped look the same whatever they are.
  const range = await sh(`nsenter -t ${await container.pid()} -n cat /proc/sys/net/ipv4/ping_group_range`);
  t.is(range.trim().replace('\t', ' '), '1 0');
});

test('users, groups and capabilities are those of the user namespace', async (t) => {
  const pod = await mapped(100_000);
  const context = { run_as_user: { value: 1000n }, run_as_group: { value: 7n }, supplemental_groups: [9n] };
  const show = 'grep -E "^(Uid|Groups|CapEff|CapAmb)" /proc/self/status | cut -f2- | tr "\\t" " "';
  const capabilities = { add_ambient_capabilities: ['NET_BIND_SERVICE'] };
  const container = await pod.run(`${show}; ${idle}`, { linux: { security_context: { ...context, capabilities } } });
  await until('it has written', async () => (await container.lines()).length >= 4);
  t.regex(await container.text(), /^1000 1000 1000 1000\n7 9 50000 ?\n0000000000000400\n0000000000000400\n$/);
  t.is(await sh(`awk '/^(Uid|Gid)/ {print $2}' /proc/${await container.pid()}/status | xargs`), '101000 100007\n');
  t.regex(
    (await container.exec(`${show}; touch /tmp/x; stat -c %u:%g /tmp/x; echo out >/dev/stdout`)).stdout,
    /^1000 1000 1000 1000\n(?:.*\n){3}1000:7\nout\n$/,
  );
  // berth-default denies mounts where there is AppArmor
  const all = { capabilities: { add_capabilities: ['ALL'] }, apparmor: { profile_type: 'Unconfined' } } as const;
  const { stdout } = await pod.output(
    'sed -n "s/^CapEff:.//p" /proc/self/status; mount -t tmpfs none /tmp && echo mounted; whoami-setuid',
    { linux: { security_context: all } },
  );
  t.regex(stdout, /^000001ffffffffff\nmounted\n/, 'what the daemon itself lacks it has in its own');
  const setuid = await pod.output('whoami-setuid', { linux: { security_context: context } });
  t.regex(setuid.stdout, /\b0\b/);
});

test('a user or group that the user namespace does not have is refused', async (t) => {
  const pod = await mapped(100_000);
  const create = (security_context: Security): Promise<unknown> => pod.create('true', { linux: { security_context } });
  await fails(
    t,
    create({ run_as_user: { value: 65536n } }),
    'invalid-argument',
    /user 65536: the pod's user namespace has 65536 uids/,
  );
  await fails(t, create({ supplemental_groups: [70_000n] }), 'invalid-argument', /group 70000: .* has 65536 gids/);
});

test('mappings that are not possible are refused at once, and leave nothing', async (t) => {
  const run = (
    userns_options: NonNullable<Input<NamespaceOption>['userns_options']>,
    more: Input<NamespaceOption> = {},
  ): Promise<unknown> =>
    runPod(daemon(), { linux: { security_context: { namespace_options: { ...more, userns_options } } } });
  const good = { mode: 'POD', uids: mapping(1000), gids: mapping(1000) } as const;
  const bad = 'invalid-argument';
  await fails(t, run({ mode: 'TARGET' }), bad, /userns_options\.mode: TARGET/);
  await fails(t, run({ mode: 'CONTAINER' }), bad, /userns_options\.mode: CONTAINER/);
  await fails(t, run({ ...good, uids: [] }), bad, /uids: mode POD without a mapping/);
  await fails(t, run({ ...good, gids: [...mapping(1000, 1), ...mapping(2000, 1)] }), bad, /gids: 2 mappings/);
  await fails(
    t,
    run({ ...good, uids: [{ host_id: 1000, container_id: 1, length: 10 }] }),
    bad,
    /container_id is 1: the container's 0/,
  );
  await fails(t, run({ ...good, gids: mapping(1000, 0) }), bad, /gids: length is 0/);
  await fails(
    t,
    run({ ...good, uids: mapping(4_294_967_290, 6) }),
    bad,
    /uids: ids 4294967290 to 4294967295, the last/,
  );
  await fails(t, run(good, { pid: 'NODE' }), bad, /pid NODE/);
  await fails(t, run(good, { ipc: 'NODE' }), bad, /ipc NODE/);
});

test('a container that asks for another user namespace than its pod’s is refused; one that asks for none has its pod’s', async (t) => {
  const pod = await mapped(100_000);
  const create = (namespace_options: Input<NamespaceOption>): Promise<TestContainer> =>
    pod.create('cat /proc/self/uid_map', { linux: { security_context: { namespace_options } } });
  await fails(
    t,
    create(options(200_000)),
    'invalid-argument',
    /asks for uids 200000\+65536.*its pod has uids 100000\+65536/,
  );
  await fails(
    t,
    create({ pid: 'CONTAINER', userns_options: { mode: 'NODE' } }),
    'invalid-argument',
    /asks for the node's/,
  );
  const container = await (await create({ pid: 'CONTAINER' })).start();
  await container.exited();
  t.regex(await container.text(), /^ +0 +100000 +65536\n$/);
});

test('uids and gids may have mappings of their own, of one id only if need be', async (t) => {
  const userns_options = { mode: 'POD', uids: mapping(500_000, 1), gids: mapping(600_000, 4) } as const;
  for (const pid of ['CONTAINER', 'POD'] as const) {
    const linux = { security_context: { namespace_options: { pid, userns_options } } };
    const container = await (await runPod(daemon(), { linux })).run(idle, { tty: true });
    t.is(await idsOf(await container.pid()), '500000 600000 600000');
    t.is(
      (await container.exec('cat /proc/self/uid_map /proc/self/gid_map | xargs; stat -c %u:%g /dev/shm')).stdout,
      '0 500000 1 0 600000 4\n0:0\n',
    );
  }
});

test('a device of the request can be opened by who may open it elsewhere, and nobody makes one', async (t) => {
  const node = daemon().world.path('logs', fresh('device'));
  await sh(`mknod ${node} c 1 5; chown 0:44 ${node}; chmod 660 ${node}`);
  const devices = [{ host_path: node, container_path: '/dev/deep/er', permissions: 'rw' }];
  const script =
    'stat -c "%u:%g %a %t:%T" /dev/deep/er; head -c 3 /dev/deep/er | wc -c; mknod /dev/x c 1 3 2>&1; mknod /x c 1 3 2>&1';
  const { stdout } = await (await mapped(100_000)).output(script, { devices });
  t.is(stdout, '0:44 660 1:5\n3\nmknod: /dev/x: Operation not permitted\nmknod: /x: Operation not permitted\n');
});

test('a terminal is the container’s console, and its user owns it', async (t) => {
  const script =
    'test -t 0 && test -t 1 && stat -c "%u:%g %n" /dev/console /dev/pts/0; (exec 3<>/dev/tty) && echo tty; tty';
  const linux = { security_context: { run_as_user: { value: 1000n } } };
  const { stdout } = await (await mapped(100_000)).output(script, { tty: true, linux });
  t.deepEqual(stdout.split(/\r?\n/), ['1000:5 /dev/console', '1000:5 /dev/pts/0', 'tty', '/dev/pts/0', '']);
});

test('a privileged container of a pod with a user namespace has all of that and nothing of the host', async (t) => {
  const pod = await mapped(100_000, {}, { privileged: true });
  // The nodes of the host keep owners that the namespace does not know: who is not the world cannot open them.
  const script = `sed -n "s/^CapEff:.//p" /proc/self/status; hostname changed && hostname
find /dev ! -type d ! -type l | while read -r d; do stat -c "%u %a %n" $d; done >/tmp/all
awk '$1 == 65534 && $2 % 10 == 0 {print $3}' /tmp/all >/tmp/closed; test -s /tmp/closed && echo some
while read -r d; do head -c 0 $d 2>/dev/null && echo open $d; done </tmp/closed
(echo 0 >/proc/sys/kernel/panic_on_oops) 2>/dev/null || echo refused`;
  const { stdout, stderr } = await pod.output(script, { linux: { security_context: { privileged: true } } });
  t.deepEqual(stdout.trim().split('\n'), ['000001ffffffffff', 'changed', 'some', 'refused'], stderr);
});

test('it is stopped, its exit code and log are told, and execs end with their codes', async (t) => {
  const pod = await mapped(100_000);
  const container = await pod.run('trap "echo bye; exit 7" TERM; echo up; while :; do sleep 0.05; done');
  await until('it is up', async () => (await container.text()) === 'up\n');
  t.deepEqual(await container.exec('echo out; echo err >&2; exit 3'), { stdout: 'out\n', stderr: 'err\n', code: 3 });
  await container.stop(5);
  const { exit_code, reason } = await container.status();
  t.deepEqual([exit_code, reason, await container.text()], [7, 'Error', 'up\nbye\n']);
  const killed = await pod.run('(setsid sleep 7777 &); exec sleep 7777');
  await killed.stop(0);
  t.is((await killed.status()).exit_code, 137);
  t.is(await sh('ps -C sleep -o args= | grep -c 7777 || true'), '0\n');
  await fails(t, (await pod.create(['no-such-program'])).start(), 'invalid-argument', /no-such-program/);
});

test('berth exec -t has a terminal of its user’s, and berth cp brings trees in and out', async (t) => {
  const pod = await mapped(100_000);
  const { id } = await pod.run(idle, { linux: { security_context: { run_as_user: { value: 1000n } } } });
  const command = `${join(sourceTree, 'bin/berth')} --address ${daemon().address}`;
  const inside = 'test -t 1 && stat -c %u:%g /dev/pts/0 && cat /proc/self/uid_map';
  const { stdout } = await daemon().world.run('script', [
    '-qec',
    `${command} exec -t ${id} sh -c '${inside}'`,
    '/dev/null',
  ]);
  t.regex(stdout, /^1000:5\s+0 +100000 +65536\s+$/);
  const path = await hostDirectory();
  await sh(`mkdir ${path}/in; echo given >${path}/in/file; chown 7:8 ${path}/in/file`);
  await sh(`${command} cp -a ${path}/in ${id}:/tmp/in && ${command} cp -a ${id}:/tmp/in ${path}/out`);
  const other = await pod.run('true');
  t.is((await other.exited()).exit_code, 0);
  const there = await sh(
    `cd ${daemon().world.path('root/containers', id, 'upper/tmp/in')} && stat -c %u:%g . file; cat file`,
  );
  const back = await sh(`cd ${path}/out && stat -c %u:%g . file; cat file`);
  t.is(there, '100000:100000\n100007:100008\ngiven\n');
  t.is(back, '0:0\n7:8\ngiven\n');
});

test('oom_score_adj and the limit of open files are set with the host’s rights', async (t) => {
  const resources = { oom_score_adj: 500n };
  const { stdout } = await (await mapped(100_000)).output('cat /proc/self/oom_score_adj; ulimit -n; ulimit -Hn', {
    linux: { resources },
  });
  const plain = await (await runPod(daemon())).output('cat /proc/self/oom_score_adj; ulimit -n; ulimit -Hn', {
    linux: { resources },
  });
  t.is(stdout, plain.stdout);
  t.regex(stdout, /^500\n/);
});

test('containers, execs and new containers go on after the daemon was killed', async (t) => {
  const pod = await mapped(100_000);
  const container = await pod.run(idle);
  await daemon().killAndBoot();
  t.is((await container.status()).state, 'CONTAINER_RUNNING');
  t.is((await container.exec('id -u; cat /proc/self/uid_map | xargs')).stdout, `0\n0 100000 ${size}\n`);
  t.is((await pod.output('cat /proc/self/gid_map | xargs')).stdout, `0 100000 ${size}\n`);
});

test('with the older ways of mounting an overlay it is the same', async (t) => {
  await daemon().killAndBoot({ BERTH_WITHOUT: 'lowerdir-plus,overlay-new-api' });
  const { stdout } = await (await mapped(100_000)).output(
    'stat -c %u:%g / /added /bin/busybox; touch /x; stat -c %u /x',
    { image: { image: names.layered } },
  );
  t.is(stdout, '0:0\n0:0\n0:0\n0\n');
  await daemon().killAndBoot();
});

test('a kernel without idmapped layers is named in the refusal, and the feature is not told of', async (t) => {
  await daemon().killAndBoot({ BERTH_WITHOUT: 'idmapped-overlay-lower' });
  for (const network of ['POD', 'NODE'] as const)
    await fails(
      t,
      mapped(100_000, { network }),
      'unimplemented',
      /userns_options\.mode: POD: needs Linux 6\.3 or newer/,
    );
  const { features, runtime_handlers } = await daemon().client.Status({});
  t.false(features?.user_namespaces_host_network);
  t.false(runtime_handlers.some((handler) => handler.features?.user_namespaces));
  await daemon().killAndBoot();
});
