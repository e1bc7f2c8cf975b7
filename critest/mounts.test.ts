import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import test from 'ava';
import type { Input, Mount } from '../api/generated/types.ts';
import { idle, runPod } from './harness/pods.ts';
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

test('a mount source that is not there is refused and named, and nothing is made in its place', async (t) => {
  const host_path = daemon().world.path('logs', 'missing');
  const pod = await runPod(daemon());
  const create = pod.create('true', { mounts: [{ host_path, container_path: '/data' }] });
  await fails(t, create, 'invalid-argument', new RegExp(`${host_path}.*ENOENT|ENOENT.*${host_path}|${host_path}`));
  await t.throwsAsync(readFile(host_path), { code: 'ENOENT' });
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

test('the start of a container takes no longer with a host mount table of 1,500 entries', async (t) => {
  const { world } = daemon();
  const time = async (): Promise<number> => {
    const pod = await runPod(daemon());
    const times: number[] = [];
    for (let round = 0; round < 5; round += 1) {
      const container = await pod.create('true');
      const started = performance.now();
      await container.start();
      times.push(performance.now() - started);
    }
    return times.sort((a, b) => a - b)[2] ?? 0;
  };
  const few = await time();
  const base = world.path('logs', 'many');
  await world.sh(
    `mkdir ${base}; mount -t tmpfs tmpfs ${base}; i=0; while [ $i -lt 1500 ]; do mkdir ${base}/$i; mount --bind ${base}/$i ${base}/$i; i=$((i+1)); done`,
  );
  const many = await time();
  await world.sh(`umount -R ${base}`);
  t.true(many < few * 2 + 3, `${few.toFixed(1)} ms with few mounts, ${many.toFixed(1)} ms with many`);
});

test('image mounts and ID-mapped mounts are refused in words until they are served', async (t) => {
  const pod = await runPod(daemon());
  const idMapped = {
    host_path: await hostDirectory(),
    container_path: '/data',
    uidMappings: [{ host_id: 1, length: 1 }],
  };
  await t.throwsAsync(pod.create('true', { mounts: [idMapped] }), { message: /uidMappings|id.?mapp/i });
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
