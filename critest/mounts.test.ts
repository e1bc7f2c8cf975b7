import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import test from 'ava';
import type { Input, Mount } from '../api/generated/types.ts';
import { staticShell } from './harness/images.ts';
import { idle, runPod, type TestPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';

const daemon = suiteDaemon();
let serial = 0;
/** A directory of the host with a file `given`. */
const hostDirectory = async (): Promise<string> => {
  serial += 1;
  const path = daemon().world.path('logs', `volume-${serial}`);
  await mkdir(path, { recursive: true });
  await writeFile(`${path}/given`, 'from the host\n');
  return path;
};
const run = async (script: string, ...mounts: Input<Mount>[]): Promise<string> =>
  (await (await runPod(daemon())).output(script, { mounts })).stdout;

test('a bind mount shows the host directory and writes go through', async (t) => {
  const host_path = await hostDirectory();
  const out = await run('cat /data/given; echo back >/data/new', { host_path, container_path: '/data' });
  t.is(out, 'from the host\n');
  t.is(await readFile(`${host_path}/new`, 'utf8'), 'back\n');
});

test('the root is shown as an overlay of that name', async (t) => {
  t.regex(await run('grep " / " /proc/mounts'), /^overlay \/ overlay rw,/);
});

test('a read-only mount cannot be written to', async (t) => {
  const host_path = await hostDirectory();
  const out = await run('echo x >/data/given || echo refused; cat /data/given', {
    host_path,
    container_path: '/data',
    readonly: true,
  });
  t.is(out, 'refused\nfrom the host\n');
});

test('a single file is mounted on a file that the image lacks', async (t) => {
  const host_path = `${await hostDirectory()}/given`;
  t.is(await run('cat /deep/er/file', { host_path, container_path: '/deep/er/file' }), 'from the host\n');
});

test('a mount onto a path with a link in the image stays inside the root', async (t) => {
  const host_path = await hostDirectory();
  const out = await run('cat /var/run-link/given 2>/dev/null; cat /data/x/given', {
    host_path,
    container_path: '/data/../data/x',
  });
  t.is(out, 'from the host\n');
});

test('a mount inside another mount is there whatever their order in the request', async (t) => {
  const [outer, inner] = [await hostDirectory(), await hostDirectory()];
  await mkdir(`${outer}/inner`);
  await writeFile(`${inner}/given`, 'from the inner\n');
  const out = await run(
    'cat /data/given /data/inner/given',
    { host_path: inner, container_path: '/data/inner' },
    { host_path: outer, container_path: '/data' },
  );
  t.is(out, 'from the host\nfrom the inner\n');
});

test('a mount source that is not there is made as a directory, and goes again when the container is not made', async (t) => {
  const { world } = daemon();
  const pod = await runPod(daemon());
  const host_path = world.path('logs', 'missing/deep/er');
  const there = (): Promise<string> =>
    world.sh(`find ${world.path('logs/missing')} -printf '%m %U ' 2>/dev/null || true`);
  const mounts = [{ host_path, container_path: '/data' }];
  await fails(t, pod.create('true', { mounts, working_dir: 'a\0' }), 'invalid-argument', /working_dir/);
  t.is(await there(), '');
  t.is((await pod.output('ls -A /data; echo made', { mounts })).stdout, 'made\n');
  t.is(await there(), '755 0 755 0 755 0 ');
  await symlink('nowhere', world.path('logs', 'dangling'));
  const dangling = [{ host_path: world.path('logs', 'dangling'), container_path: '/data' }];
  await fails(t, pod.create('true', { mounts: dangling }), 'invalid-argument', /host_path .*dangling/);
  for (const nowhere of [
    '/proc/none',
    '/proc/none/deep',
    `${world.path('logs/missing/deep/er')}/../x`,
    '/etc/passwd/x',
  ])
    await fails(
      t,
      pod.create('true', { mounts: [{ host_path: nowhere, container_path: '/data' }] }),
      'invalid-argument',
      /host_path/,
    );
});

test('with make_missing_sources off a source that is not there is refused and named, and nothing is made', async (t) => {
  const { world } = daemon();
  const host_path = world.path('logs', 'absent');
  const pod = await runPod(daemon());
  await daemon().configure({ mounts: { make_missing_sources: false } });
  await daemon().killAndBoot();
  const create = pod.create('true', { mounts: [{ host_path, container_path: '/data' }] });
  await fails(t, create, 'invalid-argument', new RegExp(`mount /data: host_path ${host_path}: ENOENT`));
  await daemon().configure({});
  await daemon().killAndBoot();
  await t.throwsAsync(readFile(world.seen(host_path)), { code: 'ENOENT' });
});

test('a relative source or target and a target of / are refused', async (t) => {
  const pod = await runPod(daemon());
  const create = (mount: Input<Mount>): Promise<unknown> => pod.create('true', { mounts: [mount] });
  const host_path = await hostDirectory();
  await fails(t, create({ host_path: 'relative', container_path: '/data' }), 'invalid-argument', /host_path/);
  await fails(t, create({ host_path, container_path: '' }), 'invalid-argument', /container_path/);
  await fails(t, create({ host_path, container_path: '/' }), 'invalid-argument', /container_path/);
});

test('a source that is a symbolic link shows where it leads', async (t) => {
  const target = await hostDirectory();
  await symlink(target, `${target}-link`);
  t.is(await run('cat /data/given', { host_path: `${target}-link`, container_path: '/data' }), 'from the host\n');
});

test('two thousand mounts are made, and more than four thousand are refused before any is looked at', async (t) => {
  const host_path = await hostDirectory();
  const many = (count: number): Input<Mount>[] =>
    Array.from({ length: count }, (_, i) => ({ host_path, container_path: `/m/${i}` }));
  const pod = await runPod(daemon());
  const { stdout } = await pod.output('ls /m | wc -l; grep -c " /m/" /proc/mounts; ulimit -n', { mounts: many(2000) });
  t.is(stdout, '2000\n2000\n1024\n');
  await fails(
    t,
    pod.create('true', { mounts: many(4001) }),
    'invalid-argument',
    /config\.mounts: 4001 of them, at most 4000/,
  );
});

test('a link is followed when the container is made, and never again', async (t) => {
  const [first, second] = [await hostDirectory(), await hostDirectory()];
  await writeFile(`${second}/given`, 'from the second\n');
  await symlink(first, `${first}-turned`);
  const mounts = [{ host_path: `${first}-turned`, container_path: '/data' }];
  const container = await (await runPod(daemon())).create('cat /data/given', { mounts });
  await daemon().world.sh(`ln -sfn ${second} ${first}-turned`);
  await container.start();
  await container.exited();
  t.is(await container.text(), 'from the host\n');
});

test('mount_options hold for the mount, with r for those below it, and are told as a feature', async (t) => {
  const host_path = await hostDirectory();
  const { client, world } = daemon();
  const shell = await staticShell();
  await world.sh(
    `mkdir ${host_path}/sub; mount -t tmpfs tmpfs ${host_path}/sub; cp ${shell} ${host_path}/sub; cp ${shell} ${host_path}`,
  );
  const mount = { host_path, container_path: '/plain', mount_options: ['noexec', 'nosuid', 'nodev', 'noatime'] };
  const all = { host_path, container_path: '/all', mount_options: ['rnoexec', 'nosymfollow', 'ro'] };
  const container = await (await runPod(daemon())).run(idle, { mounts: [mount, all] });
  const table = await readFile(world.seen(`/proc/${await container.pid()}/mountinfo`), 'utf8');
  t.regex(table, / \/plain rw,nosuid,nodev,noexec,noatime /);
  t.regex(table, / \/plain\/sub rw,relatime /);
  // what the machine's own /tmp is mounted with stays
  t.regex(table, / \/all ro,(nosuid,nodev,)?noexec,(relatime,)?nosymfollow /);
  t.regex(table, / \/all\/sub rw,noexec,relatime /);
  const { stdout } = await container.exec(
    'for p in /plain /plain/sub /all /all/sub; do $p/busybox echo $p runs 2>/dev/null; done; cat /plain/given',
  );
  t.is(stdout, '/plain/sub runs\nfrom the host\n');
  t.true((await client.Status({})).features?.mount_options);
  await world.sh(`umount ${host_path}/sub`);
});

test('a mount option that is unknown or contradicts another is refused and named', async (t) => {
  const host_path = await hostDirectory();
  const pod = await runPod(daemon());
  for (const [option, why] of [
    ['exec', /"exec" is not one of/],
    ['size=1m', /"size=1m" is not/],
    ['rro', /"rro"/],
    ['', /""/],
  ] as const)
    await fails(
      t,
      pod.create('true', { mounts: [{ host_path, container_path: '/data', mount_options: ['nodev', option] }] }),
      'invalid-argument',
      new RegExp(`mount /data: mount_options: .*${why.source}`),
    );
  const both = { host_path, container_path: '/data', mount_options: ['noatime', 'strictatime'] };
  await fails(t, pod.create('true', { mounts: [both] }), 'invalid-argument', /noatime and strictatime exclude/);
});

test('of two mounts at one place, written differently, the later lies on top', async (t) => {
  const [first, second] = [await hostDirectory(), await hostDirectory()];
  await writeFile(`${second}/given`, 'from the second\n');
  const out = await run(
    'cat /data/given; grep -c " /data " /proc/self/mountinfo',
    { host_path: first, container_path: '/data' },
    { host_path: second, container_path: 'data/./' },
  );
  t.is(out, 'from the second\n2\n');
});

test('a file is not mounted over a directory, nor a directory over a file: the start says where', async (t) => {
  const host_path = await hostDirectory();
  const pod = await runPod(daemon());
  const start = async (mount: Input<Mount>): Promise<unknown> =>
    (await pod.create('true', { mounts: [mount] })).start();
  await fails(t, start({ host_path: `${host_path}/given`, container_path: '/etc' }), 'internal', /\/etc: EISDIR/);
  await fails(t, start({ host_path, container_path: '/etc/passwd' }), 'internal', /\/etc\/passwd: ENOTDIR/);
});

test('mounts over /proc, /sys, /dev and /etc/hosts take the place of what every container has there', async (t) => {
  const host_path = await hostDirectory();
  const pod = await runPod(daemon());
  for (const container_path of ['/sys', '/dev']) {
    const { stdout } = await pod.output(`ls -A ${container_path}; grep -c " ${container_path}/" /proc/mounts`, {
      mounts: [{ host_path, container_path }],
    });
    t.is(stdout, 'given\n0\n', container_path);
  }
  t.is(
    (await pod.output('cat /proc/given', { mounts: [{ host_path, container_path: '/proc' }] })).stdout,
    'from the host\n',
  );
  t.deepEqual((await readdir(host_path)).sort(), ['given']);
  const hosts = { host_path: `${host_path}/given`, container_path: '//etc/hosts' };
  t.is((await pod.output('cat /etc/hosts', { mounts: [hosts] })).stdout, 'from the host\n');
});

test('with BIDIRECTIONAL mounts travel both ways; for who is not privileged it is refused', async (t) => {
  const host_path = await hostDirectory();
  const { world } = daemon();
  const linux = { security_context: { privileged: true } };
  const pod = await runPod(daemon(), { linux });
  const mounts = [{ host_path, container_path: '/data', propagation: 'PROPAGATION_BIDIRECTIONAL' as const }];
  await world.sh(`mount --bind ${host_path} ${host_path}; mount --make-private ${host_path}`);
  const create = pod.create(idle, { mounts, linux });
  await fails(t, create, 'failed-precondition', /path ".*" is mounted on ".+" but it is not a shared mount/);
  await world.sh(`mount --make-shared ${host_path}; mkdir ${host_path}/in ${host_path}/out`);
  await fails(t, pod.create('true', { mounts }), 'invalid-argument', /mount \/data: propagation: .*privileged/);
  const container = await pod.run(idle, { mounts, linux });
  await world.sh(`mount -t tmpfs tmpfs ${host_path}/in; touch ${host_path}/in/seen`);
  t.is((await container.exec('ls /data/in; mount -t tmpfs tmpfs /data/out && touch /data/out/back')).stdout, 'seen\n');
  t.is(await world.sh(`ls ${host_path}/out`), 'back\n');
  await container.exec('umount /data/out');
  t.is(await world.sh(`ls ${host_path}/out; umount ${host_path}/in; umount ${host_path}`), '');
});

test('HOST_TO_CONTAINER from a mount that nothing travels from is refused', async (t) => {
  const host_path = await hostDirectory();
  const { world } = daemon();
  const pod = await runPod(daemon());
  await world.sh(`mount --bind ${host_path} ${host_path}; mount --make-private ${host_path}`);
  const mounts = [{ host_path, container_path: '/data', propagation: 'PROPAGATION_HOST_TO_CONTAINER' as const }];
  await fails(t, pod.create('true', { mounts }), 'failed-precondition', /not a shared or slave mount/);
  await world.sh(`umount ${host_path}`);
});

test('with HOST_TO_CONTAINER a mount made later on the host is seen, with PRIVATE it is not', async (t) => {
  const host_path = await hostDirectory();
  const { world } = daemon();
  await world.sh(`mount --bind ${host_path} ${host_path}; mount --make-rshared ${host_path}; mkdir ${host_path}/later`);
  const pod = await runPod(daemon());
  const container = await pod.run(idle, {
    mounts: [
      { host_path, container_path: '/slave', propagation: 'PROPAGATION_HOST_TO_CONTAINER' },
      { host_path, container_path: '/private', propagation: 'PROPAGATION_PRIVATE' },
    ],
  });
  await world.sh(`mount -t tmpfs tmpfs ${host_path}/later; touch ${host_path}/later/seen`);
  const { stdout } = await container.exec('ls /slave/later; echo --; ls /private/later');
  t.is(stdout, 'seen\n--\n');
  await world.sh(`umount ${host_path}/later`);
  t.is((await container.exec('ls /slave/later')).stdout, '');
  await world.sh(`umount ${host_path}`);
});

test('a mount of the host stays free: what a container has mounted can be unmounted and removed on the host', async (t) => {
  const host_path = await hostDirectory();
  const { world } = daemon();
  await world.sh(`mkdir ${host_path}/busy; mount -t tmpfs tmpfs ${host_path}/busy`);
  const pod = await runPod(daemon());
  await pod.run(idle);
  await t.notThrowsAsync(world.sh(`umount ${host_path}/busy && rmdir ${host_path}/busy`));
});

test('A17: nothing of a container is mounted on the host', async (t) => {
  const pod = await runPod(daemon());
  const mounts = (): Promise<string> => daemon().world.sh('cut -d" " -f5 /proc/self/mountinfo | sort');
  const before = await mounts();
  await pod.run(idle);
  t.is(await mounts(), before);
});

test('C: with a host mount table of 3,000 entries the start of a container copies none of them', async (t) => {
  const { world } = daemon();
  // The kernel counts all mounts that are ever made, on the whole machine: of several starts the one with the fewest counts.
  const made = async (): Promise<bigint> => {
    const id = (await world.sh(`$(ls ${world.path('root/images/layers')}/*/fs/bin/mount-id | head -1)`)).trim();
    return id === 'none' ? 0n : BigInt(id); // before Linux 6.8 nothing counts them
  };
  const ids = [{ host_id: 100_000, container_id: 0, length: 65536 }];
  const userns_options = { mode: 'POD', uids: ids, gids: ids } as const;
  const linux = { security_context: { namespace_options: { pid: 'CONTAINER' as const, userns_options } } };
  const pods = [await runPod(daemon()), await runPod(daemon(), { linux })];
  const fewest = async (pod: TestPod): Promise<bigint> => {
    const counts: bigint[] = [];
    for (let round = 0; round < 4; round += 1) {
      const container = await pod.create('true');
      const before = await made();
      await container.start();
      counts.push((await made()) - before);
    }
    return counts.reduce((a, b) => (a < b ? a : b));
  };
  const few: bigint[] = [];
  for (const pod of pods) few.push(await fewest(pod));
  const base = world.path('logs', 'many');
  // Each round copies all that is there: 2^12 mounts.
  const double = 'for i in 0 1 2 3 4 5 6 7 8 9 10 11; do mkdir $i; mount --rbind . $i; done';
  await world.sh(`mkdir ${base}; mount -t tmpfs tmpfs ${base}; mount --make-private ${base}; cd ${base}; ${double}`);
  try {
    t.true(Number(await world.sh('wc -l </proc/self/mountinfo')) > 3000);
    for (const [index, pod] of pods.entries()) {
      const [before, many] = [few[index] ?? 0n, await fewest(pod)];
      t.true(many < before + 100n && many < 200n, `${before} mounts with few on the host, ${many} with many`);
    }
  } finally {
    await world.sh(`umount -l ${base}`);
  }
});

test('a mount with mapped ids is refused in a pod without a user namespace', async (t) => {
  const pod = await runPod(daemon());
  const mapping = [{ host_id: 1, length: 1 }];
  const mount = {
    host_path: await hostDirectory(),
    container_path: '/data',
    uidMappings: mapping,
    gidMappings: mapping,
  };
  await fails(
    t,
    pod.create('true', { mounts: [mount] }),
    'invalid-argument',
    /\/data: uidMappings: the pod has no user/,
  );
});

test('a device of the request is there with its permissions, and what is no device is refused', async (t) => {
  const pod = await runPod(daemon());
  const devices = [{ host_path: '/dev/zero', container_path: '/dev/my-zero', permissions: 'rw' }];
  const { stdout } = await pod.output('head -c 3 /dev/my-zero | wc -c; ls /dev', { devices });
  t.is(stdout.split('\n')[0], '3');
  for (const name of [
    'full',
    'fd',
    'mqueue',
    'null',
    'ptmx',
    'pts',
    'random',
    'shm',
    'stderr',
    'tty',
    'urandom',
    'zero',
  ])
    t.true(stdout.split('\n').includes(name), name);
  const bad = pod.create('true', { devices: [{ host_path: '/etc/passwd', container_path: '/dev/x' }] });
  await fails(t, bad, 'invalid-argument', /\/etc\/passwd/);
});

test('a mount whose path leads through a link of a volume onto /dev or /proc is refused, and the host gets no nodes', async (t) => {
  for (const place of ['dev', 'proc', 'proc/sys', 'sys']) {
    const [outer, inner] = [await hostDirectory(), await hostDirectory()];
    await symlink(`/${place}`, `${outer}/link`);
    const mounts = [
      { host_path: outer, container_path: '/data' },
      { host_path: inner, container_path: '/data/link' },
    ];
    const container = await (await runPod(daemon())).create('true', { mounts });
    await fails(t, container.start(), 'invalid-argument', /a link leads into .* \/data\/link: EINVAL/);
    t.deepEqual(await readdir(inner), ['given'], place);
  }
});
