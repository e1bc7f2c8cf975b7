import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import test from 'ava';
import type { ContainerConfig, Input } from '../api/generated/types.ts';
import { importEntries, link, madeImages } from './harness/made-image.ts';
import { idle, runPod, type TestPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';
import type { TarEntry } from './harness/tar.ts';
import { until } from './harness/until.ts';

// What an image's configuration calls Volumes (a Dockerfile's VOLUME).
const daemon = suiteDaemon({ ignore: madeImages });

const run = (): Promise<TestPod> =>
  runPod(daemon(), { linux: { security_context: { namespace_options: { network: 'NODE', pid: 'CONTAINER' } } } });
const directory = (name: string, rest: Partial<TarEntry> = {}): TarEntry => ({
  name: `${name}/`,
  type: 'directory',
  ...rest,
});
const withVolumes = async (name: string, volumes: readonly string[], entries: readonly TarEntry[] = []) => {
  const Volumes = Object.fromEntries(volumes.map((path) => [path, {}]));
  return { image: { image: await importEntries(daemon(), name, entries, { Volumes }) } };
};
const layerOf = (id: string): string => daemon().world.seen(daemon().world.path('root/containers', id));

test('a VOLUME is a directory of the container’s own with what the image has there: owners, modes, links, hard links, attributes', async (t) => {
  const config = await withVolumes(
    'content',
    ['/data'],
    [
      directory('data', { mode: 0o1770, uid: 3, gid: 4 }),
      { name: 'data/one', data: 'one', mode: 0o640, uid: 5, gid: 6 },
      { name: 'data/two', type: 'hardlink', link: 'data/one', mode: 0o640, uid: 5, gid: 6 },
      { name: 'data/su', data: 'x', mode: 0o4755, pax: { 'SCHILY.xattr.user.kept': 'yes' } },
      link('data/link', '/nowhere'),
      directory('data/sub', { mode: 0o700 }),
      { name: 'data/sub/pipe', type: 'fifo', mode: 0o600 },
    ],
  );
  const pod = await run();
  const container = await pod.run(idle, config);
  const show = 'cd /data; stat -c "%n %F %a %u %g %h" . one two su sub sub/pipe; readlink link; cat two';
  t.is(
    (await container.exec(show)).stdout,
    [
      '. directory 1770 3 4 3',
      'one regular file 640 5 6 2',
      'two regular file 640 5 6 2',
      'su regular file 4755 0 0 1',
      'sub directory 700 0 0 2',
      'sub/pipe fifo 600 0 0 1',
      '/nowhere',
      'one',
    ].join('\n'),
  );
  const table = await readFile(daemon().world.seen(`/proc/${await container.pid()}/mountinfo`), 'utf8');
  t.regex(table, /\/root\/containers\/\w+\/volumes\/own-0 \/data rw,/);
  const copied = daemon().world.path('root/containers', container.id, 'volumes/own-0/su');
  const pax = await daemon().world.sh(`tar --xattrs --xattrs-include='*' --format=pax -PcO ${copied} | tr -d '\\0'`);
  t.true(pax.includes('SCHILY.xattr.user.kept=yes'));
});

test('a VOLUME can be written though the root is read-only, its image stays as it was, and it goes with the container', async (t) => {
  const config = await withVolumes('written', ['/data'], [directory('data'), { name: 'data/given', data: 'given' }]);
  const pod = await run();
  const readonly: Input<ContainerConfig> = { ...config, linux: { security_context: { readonly_rootfs: true } } };
  const first = await pod.run('touch /x || echo refused; echo new >/data/given; cat /data/given', readonly);
  await first.exited();
  t.is(await first.text('stdout'), 'refused\nnew\n');
  t.true((await readdir(layerOf(first.id))).includes('volumes'));
  await first.remove();
  await until('its layer is gone, now or behind', () => !existsSync(layerOf(first.id)));
  t.is((await pod.output('cat /data/given', config)).stdout.trim(), 'given');
});

test('a VOLUME that the image lacks is an empty directory of root; relative and unclean ones count from the root', async (t) => {
  const config = await withVolumes('empty', ['/made/here', 'relative', '/un//clean/../tidy/', '/tidy']);
  const { stdout } = await (await run()).output(
    'for d in /made/here /relative /tidy /un/tidy; do stat -c "%n %a %u" $d; ls -A $d; done; grep -c /volumes/own- /proc/self/mountinfo',
    config,
  );
  t.is(stdout, '/made/here 755 0\n/relative 755 0\n/un/tidy 755 0\n4\n'.replace('/un/tidy', '/tidy 755 0\n/un/tidy'));
});

test('a mount of the request stands where the image has a VOLUME, and what every container has is kept', async (t) => {
  const config = await withVolumes('taken', ['/data', '/proc', '/sys/fs/cgroup', '/dev/shm', '/etc/hosts', '/run']);
  const { world } = daemon();
  await world.sh(`mkdir -p ${world.path('logs/asked')}; echo asked >${world.path('logs/asked/file')}`);
  const { stdout } = await (await run()).output(
    'cat /data/file; test -d /proc/self && ls -d /sys/fs/cgroup/* >/dev/null && test -f /etc/hosts && echo kept; grep -o "volumes/own-. [^ ]*" /proc/self/mountinfo',
    { ...config, mounts: [{ host_path: world.path('logs/asked'), container_path: '/data/' }] },
  );
  t.is(stdout, 'asked\nkept\nvolumes/own-0 /run\n');
});

// containerd CVE-2022-23648
test('containerd 2022-23648: an image’s VOLUME path reads nothing of the host, whatever links and .. it has', async (t) => {
  const { world } = daemon();
  await world.sh(`mkdir -p /tmp/outside-the-image; echo secret >/tmp/outside-the-image/secret`);
  const volumes = [
    '/../../../../../../tmp/outside-the-image',
    '/through/outside-the-image',
    '/up/tmp/outside-the-image',
  ];
  const config = await withVolumes('hostile', volumes, [link('through', '/tmp'), link('up', '../../../../../..')]);
  const container = await (await run()).run(idle, config);
  const { stdout } = await container.exec(
    'ls -A /tmp/outside-the-image /through/outside-the-image /up/tmp/outside-the-image; cat /tmp/outside-the-image/secret',
  );
  t.notRegex(stdout, /secret/);
  t.is(await world.sh(`grep -rl secret ${world.path('root/containers')} || true`), '');
  t.is(await world.sh('ls /tmp/outside-the-image; rm -r /tmp/outside-the-image'), 'secret\n');
});

test('a VOLUME that is a file of the image, the root, or one of a hundred and one, is refused and leaves nothing', async (t) => {
  const pod = await run();
  const refused = async (name: string, volumes: string[], why: RegExp): Promise<void> =>
    fails(t, pod.create('true', await withVolumes(name, volumes)), 'invalid-argument', why);
  await refused('file', ['/bin/sh'], /VOLUME of the image.*\/bin\/sh: Not a directory/);
  await refused('root', ['/a/..'], /VOLUME of the image: "\/" would hide/);
  await refused(
    'many',
    Array.from({ length: 101 }, (_, i) => `/v${i}`),
    /101 of them, at most 100/,
  );
  await refused('control', ['/a\n/b'], /VOLUME of the image.*control/);
  t.deepEqual(await readdir(layerOf('')), []);
});

test('in a user namespace image volumes, sub paths and VOLUMEs have the owners that the image says', async (t) => {
  const ids = [{ host_id: 300_000, container_id: 0, length: 65_536 }];
  const namespace_options = {
    network: 'POD' as const,
    pid: 'CONTAINER' as const,
    userns_options: { mode: 'POD' as const, uids: ids, gids: ids },
  };
  const linux = { security_context: { namespace_options } };
  const config = await withVolumes(
    'mapped',
    ['/data'],
    [
      directory('data', { uid: 3, gid: 4 }),
      { name: 'data/given', data: 'given', uid: 5, gid: 6 },
      directory('sub', { uid: 7 }),
      { name: 'sub/file', data: 'x', uid: 8 },
    ],
  );
  const volume = { image: config.image, readonly: true, uidMappings: ids, gidMappings: ids };
  const pod = await runPod(daemon(), { linux });
  const container = await pod.run(idle, {
    ...config,
    linux,
    mounts: [
      { ...volume, container_path: '/whole' },
      { ...volume, container_path: '/part', image_sub_path: 'sub' },
    ],
  });
  const { stdout, stderr } = await container.exec(
    'stat -c "%n %u %g" /data /data/given /whole/data/given /part /part/file; touch /data/new; umount /part; ls /part; touch /whole/x',
  );
  t.is(stdout, '/data 3 4\n/data/given 5 6\n/whole/data/given 5 6\n/part 7 0\n/part/file 8 0\nfile\n');
  t.regex(stderr, /\/whole\/x: Read-only file system/);
  const made = daemon().world.path('root/containers', container.id, 'volumes/own-0');
  t.is(await daemon().world.sh(`stat -c %u ${made}/new ${made}/given`), '0\n5\n');
});
