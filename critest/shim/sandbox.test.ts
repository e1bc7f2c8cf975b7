import { access } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { codeOf } from '../../base/errors.ts';
import { SELF } from '../../shim/agent.ts';
import { makeNamespaces, type NamespacePaths, removeNamespaces } from '../../shim/sandbox.ts';
import { until } from '../harness/until.ts';
import { Isolated } from './isolated.ts';

const pathsIn = (isolated: Isolated) =>
  ({
    net: isolated.path('netns/net'),
    ipc: isolated.path('ipc'),
    uts: isolated.path('uts'),
    pid: isolated.path('pid'),
    shm: { path: isolated.path('shm'), size: 1 << 20 },
  }) as const satisfies NamespacePaths;

/** Mounts and files below the directory, and our init processes: what a sandbox can leave. */
const leftovers = (isolated: Isolated): Promise<string> =>
  isolated.text(`grep -o '${isolated.directory}/[^ ]*' /proc/self/mountinfo | sort; find ${isolated.directory} -type f ! -name agent;
grep -slE '^Name:.berth-init$' /proc/[0-9]*/status | xargs -r grep -sLE '^State:.Z'; true`);

test('a sandbox has its own namespaces, lo is up, hostname and sysctls are set, and removing leaves nothing', async (t) => {
  await using isolated = await Isolated.start({ pidNamespace: true });
  const before = await leftovers(isolated);
  const paths = pathsIn(isolated);
  const host = await isolated.text('hostname; cat /proc/sys/kernel/msgmax');
  await makeNamespaces(isolated.agent, {
    ...paths,
    hostname: 'pod-1',
    sysctls: {
      'net.ipv4.ip_unprivileged_port_start': '0',
      'net.ipv4.ping_group_range': '0 2147483647',
      'kernel.msgmax': '9999',
    },
  });
  const enter = `nsenter --net=${paths.net} --ipc=${paths.ipc} --uts=${paths.uts} --`;
  t.is(await isolated.text(`${enter} hostname`), 'pod-1');
  t.is(
    await isolated.text(`${enter} cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax`),
    '0\n9999',
  );
  t.is(await isolated.text(`${enter} cat /proc/sys/net/ipv4/ping_group_range | tr '\\t' ' '`), '0 2147483647');
  t.regex(await isolated.text(`${enter} ip -o addr show lo`), /127\.0\.0\.1\/8/);
  t.regex(await isolated.text(`${enter} ip -o link show lo`), /LOOPBACK,UP/);
  t.is(await isolated.text('hostname; cat /proc/sys/kernel/msgmax'), host);
  const shm = await isolated.text(`grep ' ${paths.shm.path} ' /proc/self/mountinfo; stat -c %a ${paths.shm.path}`);
  t.regex(shm, /nosuid,nodev,noexec.* tmpfs .*size=1024k\n1777$/);
  await removeNamespaces(isolated.agent, paths);
  await removeNamespaces(isolated.agent, paths);
  t.is(await leftovers(isolated), before);
});

test('only the namespaces that were asked for are made', async (t) => {
  await using isolated = await Isolated.start({ pidNamespace: true });
  const before = await leftovers(isolated);
  const { uts } = pathsIn(isolated);
  await makeNamespaces(isolated.agent, { uts, hostname: 'only' });
  t.is(await isolated.text(`nsenter --uts=${uts} hostname`), 'only');
  t.is((await leftovers(isolated)).split('\n').filter((line) => line.startsWith(isolated.directory)).length, 2);
  await removeNamespaces(isolated.agent, { uts });
  t.is(await leftovers(isolated), before);
});

test('what fails leaves nothing, wherever it fails', async (t) => {
  await using isolated = await Isolated.start({ pidNamespace: true });
  const before = await leftovers(isolated);
  const paths = pathsIn(isolated);
  for (const [request, message] of [
    [{ ...paths, sysctls: { 'net.no_such': '1' } }, /sysctl sys\/net\/no_such: ENOENT/],
    [{ ...paths, sysctls: { 'net.ipv4.ip_forward': 'x' } }, /write sysctl net\/ipv4\/ip_forward: EINVAL/],
    [{ ...paths, sysctls: { 'vm.swappiness': '1' } }, /not of a namespace of this pod/],
    [{ ...paths, sysctls: { 'kernel.hostname': 'x' } }, /not of a namespace of this pod/],
    [{ uts: paths.uts, sysctls: { 'net.ipv4.ip_forward': '1' } }, /not of a namespace of this pod/],
    [{ ...paths, hostname: 'x'.repeat(65) }, /set hostname/],
    [{ ...paths, shm: { path: '/nope/shm', size: 4096 } }, /mkdir \/nope\/shm: ENOENT/],
    [{ ...paths, ipc: '/no/such/ipc' }, /mkdir \/no\/such: ENOENT/],
    [{ ...paths, pid: '/no/such/pid' }, /mkdir \/no\/such: ENOENT/],
    [{ ...paths, uts: '/../x/../uts' }, /EINVAL/],
    [{ ...paths, shm: { path: isolated.path('shm'), size: -1 } }, /--shm: EINVAL/],
  ] as const) {
    await t.throwsAsync(makeNamespaces(isolated.agent, request), { message }, `${message}`);
    t.is(await leftovers(isolated), before, `${message}`);
  }
});

test('a sandbox whose pins are there is not made again, and what is there stays', async (t) => {
  await using isolated = await Isolated.start({ pidNamespace: true });
  const paths = pathsIn(isolated);
  await makeNamespaces(isolated.agent, paths);
  const before = await leftovers(isolated);
  await t.throwsAsync(makeNamespaces(isolated.agent, paths), { message: /EEXIST/ });
  t.is(await leftovers(isolated), before);
  await removeNamespaces(isolated.agent, paths);
});

test('a link at the place of a pin is not followed', async (t) => {
  await using isolated = await Isolated.start({ pidNamespace: true });
  const { uts } = pathsIn(isolated);
  await isolated.text(`touch ${isolated.path('victim')}; ln -s victim ${uts}`);
  await t.throwsAsync(makeNamespaces(isolated.agent, { uts }), { message: /EEXIST/ });
  await removeNamespaces(isolated.agent, { uts });
  t.is(await isolated.text(`cd ${isolated.directory} && ls`), 'agent\nvictim');
});

test('kill -9 of the maker at any moment leaves what one removal takes away', async (t) => {
  await using isolated = await Isolated.start({ pidNamespace: true });
  const before = await leftovers(isolated);
  const paths = pathsIn(isolated);
  for (let tenths = 0; tenths < 60; tenths += 1) {
    const signal = AbortSignal.timeout(Math.floor(tenths / 10));
    await makeNamespaces(isolated.agent, { ...paths, signal } as object).catch(() => undefined);
    const run = isolated.agent.run({
      name: 'make',
      argv: [SELF, 'sandbox', 'make', '--net', paths.net, '--pid', paths.pid, '--shm', paths.shm.path, '4096'],
      template: true,
      signal,
    });
    await run.catch(() => undefined);
    await removeNamespaces(isolated.agent, paths);
  }
  // An init whose maker died ends by itself a moment later.
  await until('all inits have ended', async () => (await leftovers(isolated)) === before).catch(() => undefined);
  t.is(await leftovers(isolated), before);
});

test('the init of a shared pid namespace reaps, has no rights, shows nothing of the host, and cannot be ended from inside', async (t) => {
  await using isolated = await Isolated.start({ pidNamespace: true });
  const { pid } = pathsIn(isolated);
  await makeNamespaces(isolated.agent, { pid });
  const inside = `nsenter --pid=${pid} unshare -m sh -c 'mount -t proc proc /proc; `;
  const status = await isolated.text(`${inside} cat /proc/1/status'`);
  t.regex(status, /^Name:\tberth-init$/m);
  t.regex(status, /^Uid:\t65533\t65533\t65533\t65533$/m);
  t.regex(status, /^CapPrm:\t0+$/m);
  t.regex(status, /^NoNewPrivs:\t1$/m);
  t.regex(status, /^Seccomp:\t2$/m);
  t.is(await isolated.text(`${inside} tr -d "\\0" < /proc/1/cmdline'`), 'berth-init');
  const stripped = 'setpriv --bounding-set=-all --inh-caps=-all';
  const reads =
    'for f in root/ cwd/ fd exe mem maps environ; do [ -d /proc/1/$f ] && ls -A /proc/1/$f; cat /proc/1/$f && echo READ; done';
  t.is(await isolated.text(`${inside} ${stripped} sh -c "${reads.replaceAll('$', '\\$')}" 2>/dev/null; true'`), '');
  // An orphan of the namespace goes to init; a zombie would be left of it if init did not reap.
  await isolated.text(`${inside} (sleep 0.05 >/dev/null 2>&1 &)'`);
  await until('it is no process any more', async () => {
    const names = await isolated.text(`${inside} cat /proc/[0-9]*/comm 2>/dev/null; true'`);
    return names.startsWith('berth-init\n') && !names.includes('sleep');
  });
  await isolated.text(`${inside} kill -KILL 1; kill -TERM 1; kill -STOP 1; true'`);
  await delay(50);
  t.is(await isolated.text(`${inside} echo alive'`), 'alive');
  const running = isolated.path('running');
  const sleeper = isolated.sh(`nsenter --pid=${pid} sh -c 'echo > ${running}; exec sleep 60'`);
  await until('it runs', () =>
    access(running).then(
      () => true,
      () => false,
    ),
  );
  await removeNamespaces(isolated.agent, { pid });
  t.is((await sleeper).code, 137);
  await removeNamespaces(isolated.agent, { pid });
});

test('removing refuses what is no path of a pin', async (t) => {
  await using isolated = await Isolated.start({ pidNamespace: true });
  for (const net of ['/', 'relative', '/a/../../b'])
    t.is(codeOf(await t.throwsAsync(removeNamespaces(isolated.agent, { net }))), 'invalid-argument', net);
});
