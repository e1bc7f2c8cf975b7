import { readdir, readFile } from 'node:fs/promises';
import test from 'ava';
import type { ContainerConfig, Input, Mount } from '../api/generated/types.ts';
import { names } from './harness/images.ts';
import { importEntries, link, madeImages } from './harness/made-image.ts';
import { idle, runPod, type TestContainer, type TestPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';

// KEP-4639: an image as a volume.
const daemon = suiteDaemon({ ignore: madeImages, images: [names.busybox, names.layered, names.busyboxToo] });

/** Its network is the host's: no plugin has to run. */
const run = (): Promise<TestPod> =>
  runPod(daemon(), { linux: { security_context: { namespace_options: { network: 'NODE', pid: 'CONTAINER' } } } });
const shows = (image: string, extra: Input<Mount> = {}): Input<Mount> => ({
  image: { image },
  container_path: '/volume',
  readonly: true,
  ...extra,
});
const mounted = (image: string, extra: Input<Mount> = {}): Input<ContainerConfig> => ({
  mounts: [shows(image, extra)],
});
const idOf = async (name: string): Promise<string> =>
  (await daemon().client.ImageStatus({ image: { image: name } })).image?.id ?? '';
/** The container's mount at the path, as the kernel tells it. */
const mountAt = async (container: TestContainer, path = '/volume'): Promise<string> => {
  const table = await readFile(daemon().world.seen(`/proc/${await container.pid()}/mountinfo`), 'utf8');
  return table
    .split('\n')
    .filter((line) => line.split(' ')[4] === path)
    .join('\n');
};

test('an image of several layers is one read-only overlay, seen by execs, with programs that run', async (t) => {
  const container = await (await run()).run(idle, mounted(names.layered));
  t.regex(await mountAt(container), / \/ \/volume ro,relatime - overlay overlay ro,/);
  const { stdout, stderr } = await container.exec(
    'ls /volume/opaque; cat /volume/added; echo; ls /volume/removed; touch /volume/x; /volume/bin/busybox echo runs',
  );
  t.is(stdout, 'above\nadded\nruns\n');
  t.regex(stderr, /\/volume\/removed: No such file/);
  t.regex(stderr, /\/volume\/x: Read-only file system/);
});

test('an image of one layer is mounted, its root with owner and mode, and nothing of it is on the host', async (t) => {
  const name = await importEntries(daemon(), 'single', [
    { name: './', type: 'directory', mode: 0o1751, uid: 7, gid: 8 },
    { name: 'file', data: 'single' },
  ]);
  const hostMounts = (): Promise<string> => daemon().world.sh('cut -d" " -f5 /proc/self/mountinfo | sort');
  const pod = await run();
  const before = await hostMounts();
  const container = await pod.run(idle, mounted(name));
  t.is(await hostMounts(), before);
  t.is((await container.exec('stat -c "%a %u %g" /volume; cat /volume/file')).stdout, '1751 7 8\nsingle');
});

test('the status names the image by the id that its name had then, also after a restart, though the tag has moved', async (t) => {
  const pod = await run();
  const old = await importEntries(daemon(), 'moving', [{ name: 'file', data: 'old' }]);
  const container = await pod.run(idle, mounted(old));
  const id = await idOf(old);
  await importEntries(daemon(), 'moving', [{ name: 'file', data: 'new' }]);
  t.not(await idOf(old), id);
  const { mounts } = await container.status();
  t.like(mounts[0]?.image, { image: old, image_ref: id });
  t.is((await container.exec('cat /volume/file')).stdout, 'old');
  await daemon().killAndBoot();
  t.is((await container.status()).mounts[0]?.image?.image_ref, id);
});

test('a removed image stays for the container that mounts it, through a restart, and goes with it', async (t) => {
  const { client, world } = daemon();
  const layers = (): Promise<string[]> => readdir(world.seen(world.path('root/images/layers')));
  const before = await layers();
  const name = await importEntries(daemon(), 'passing', [{ name: 'file', data: 'passing' }]);
  const pod = await run();
  const created = await pod.create('cat /volume/file', mounted(name));
  const withImage = await layers();
  t.is(withImage.length, before.length + 1);
  await client.RemoveImage({ image: { image: name } });
  t.is(await idOf(name), '');
  await daemon().killAndBoot();
  t.deepEqual(await layers(), withImage);
  await created.start();
  await created.exited();
  t.is((await created.text()).trim(), 'passing');
  await created.remove();
  t.deepEqual(await layers(), before);
});

test('image_sub_path shows one directory, links and .. resolved inside the image', async (t) => {
  const name = await importEntries(daemon(), 'sub', [
    { name: 'a/b/', type: 'directory' },
    { name: 'a/b/file', data: 'inside' },
    { name: 'beside', data: 'secret' },
    link('out', '/../../a'),
    link('host', '../../../../../../proc'),
  ]);
  const pod = await run();
  for (const image_sub_path of ['a/b', '/a/./b/', 'out/b', '../../a/b', 'a/b/../../out/b']) {
    const container = await pod.run(idle, mounted(name, { image_sub_path }));
    t.is((await container.exec('ls /volume; cat /volume/file')).stdout, 'file\ninside', image_sub_path);
    const lines = (await mountAt(container)).split('\n');
    t.is(lines.length, 1, `only the directory is mounted: ${lines.join()}`);
    t.regex(lines[0] ?? '', / \/a\/b \/volume ro,/);
    await container.remove();
  }
  for (const image_sub_path of ['none', 'host', 'beside', 'a/b/file/x'])
    await fails(
      t,
      pod.create('true', mounted(name, { image_sub_path })),
      'not-found',
      /ImageVolumeMountFailed: image_sub_path ".*": image sha256:\w+ has no such directory/,
    );
});

test('an image volume takes mount options, and three of them in one container are three', async (t) => {
  const container = await (await run()).run(idle, {
    mounts: [
      shows(names.layered, {
        mount_options: ['noexec', 'nosuid', 'rnodev'],
        propagation: 'PROPAGATION_HOST_TO_CONTAINER',
      }),
      shows(names.busybox, { container_path: '/volume/opaque', recursive_read_only: true }),
      shows(names.layered, { container_path: '/third', image_sub_path: 'opaque', mount_options: ['noatime'] }),
    ],
  });
  t.regex(await mountAt(container), / ro,nosuid,nodev,noexec,relatime /);
  t.regex(await mountAt(container, '/third'), / ro,noatime /);
  t.is(
    (await container.exec('/volume/bin/busybox true; echo $?; ls /third; ls /volume/opaque/etc')).stdout,
    '126\nabove\ngroup\npasswd\n',
  );
});

test('what an image volume cannot be is refused by name', async (t) => {
  const pod = await run();
  const refused = (mount: Input<Mount>, code: 'invalid-argument' | 'not-found', why: RegExp): Promise<void> =>
    fails(
      t,
      pod.create('true', mounted(names.busybox, mount)),
      code,
      new RegExp(`ImageVolumeMountFailed.*${why.source}`),
    );
  await refused({ readonly: false }, 'invalid-argument', /readonly is false/);
  await refused({ host_path: '/tmp' }, 'invalid-argument', /host_path and image/);
  await refused({ image: { image: 'nowhere.example/none:1' } }, 'not-found', /nowhere\.example\/none:1 is not here/);
  await refused(
    { image: { runtime_handler: 'other', image: names.busybox } },
    'invalid-argument',
    /runtime_handler "other"/,
  );
  await refused({ propagation: 'PROPAGATION_BIDIRECTIONAL' }, 'invalid-argument', /BIDIRECTIONAL/);
  await refused({ image_sub_path: 'a\0b' }, 'invalid-argument', /image_sub_path/);
  await fails(
    t,
    pod.create('true', { mounts: [{ image: {}, container_path: '/v' }] }),
    'invalid-argument',
    /image\.image is empty/,
  );
  const sub = { host_path: '/tmp', container_path: '/v', image_sub_path: 'x' };
  await fails(t, pod.create('true', { mounts: [sub] }), 'invalid-argument', /image_sub_path/);
});
