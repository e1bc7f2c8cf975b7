import { spawn, spawnSync } from 'node:child_process';
import { chmod, mkdir, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { dir } from 'tmp-promise';
import { digestParts } from '../../base/digest.ts';
import type { BerthError } from '../../base/errors.ts';
import { type Image, image, layer, writeLayout, writeRegistry } from '../harness/image.ts';
import type { TestRegistry } from '../harness/own-registry.ts';
import { until } from '../harness/until.ts';
import { type ImageWorld, openWithRegistry, openWorld } from './world.ts';

const base = layer([{ name: 'base', data: 'base' }]);
const upper = layer([{ name: 'upper', data: 'upper' }]);
const one = image([base], { Cmd: ['one'] });
const two = image([base, upper], { Cmd: ['two'] });
const blobPath = (digest: string): string => join('blobs', digest.replace(':', '/'));
const container = 'c'.repeat(64);
const never = new AbortController().signal;

const pull = (world: ImageWorld, registry: TestRegistry, tag: string) =>
  world.images.pull(`${registry.host}/app:${tag}`, undefined, { signal: never });

const setUp = async () => {
  const at = await openWithRegistry({ 1: one, 2: two });
  await at.pull('1');
  await at.pull('2');
  return at;
};

const layerPath = (made: typeof base): string => `layers/${digestParts(made.diffId).hex}`;

test('a removed image takes all its names and what no other image needs', async (t) => {
  await using at = await setUp();
  await at.world.images.remove(`${at.registry.host}/app:2`);
  t.deepEqual(
    at.world.images.list().map(({ id }) => id),
    [one.id],
  );
  const left = await at.world.content();
  t.true(left.includes(layerPath(base)));
  t.false(left.includes(layerPath(upper)));
  await at.world.images.remove(one.id);
  t.deepEqual(await at.world.content(), []);
});

test('removing an image that is not there is no error', async (t) => {
  await using at = await setUp();
  const before = await at.world.content();
  await at.world.images.remove('not-there:1');
  await at.world.images.remove('Not A Name');
  t.deepEqual(await at.world.content(), before);
});

test('the layers of a removed image stay until its container is gone', async (t) => {
  await using at = await setUp();
  const { lowers } = await at.world.images.mounts(two.id, container);
  await at.world.images.remove(two.id);
  await at.world.images.remove(one.id);
  t.deepEqual(at.world.images.list(), []);
  for (const lower of lowers) t.true((await stat(lower)).isDirectory());
  await at.world.images.release(container);
  await at.world.images.release(container);
  t.deepEqual(await at.world.content(), []);
});

test('a lease outlives a restart', async (t) => {
  await using at = await setUp();
  const { lowers } = await at.world.images.mounts(two.id, container);
  await at.world.images.remove(two.id);
  await using world = await at.world.reopen();
  t.deepEqual(world.images.leases(), [container]);
  t.is(world.images.resolve(two.id), undefined);
  await world.images.collect();
  for (const lower of lowers) t.true((await stat(lower)).isDirectory());
});

test('lowers come topmost first', async (t) => {
  await using at = await setUp();
  const { lowers } = await at.world.images.mounts(two.id, container);
  t.deepEqual(await Promise.all(lowers.map((lower) => readdir(lower))), [['upper'], ['base']]);
});

const rooted = (mode: number, uid: number, gid: number) => layer([{ name: './', type: 'directory', mode, uid, gid }]);
const hiding = layer([{ name: '.wh..wh..opq' }, { name: 'new/', type: 'directory' }]);
const low = rooted(0o1711, 3, 4);

test('a layer that an image has twice is mounted once, where it is topmost', async (t) => {
  const [a, b] = [layer([{ name: 'a', data: 'a' }]), layer([{ name: 'b', data: 'b' }])];
  await using at = await openWithRegistry({ 1: image([a, b, a, a], {}), 2: image([a, b], {}) });
  const twice = await at.pull('1');
  const { lowers } = await at.world.images.mounts(twice, 'c1');
  const once = at.world.images.layersOf(await at.pull('2')).lowers;
  t.deepEqual(lowers, once.toReversed());
  t.deepEqual(await at.world.images.readFile(twice, '/b', 10), Buffer.from('b'));
});

test('an image without layers is an empty directory', async (t) => {
  await using at = await openWithRegistry({ 1: image([], {}) });
  const id = await at.pull();
  const { lowers } = at.world.images.layersOf(id);
  t.is(lowers.length, 1);
  t.deepEqual(await readdir(lowers[0] ?? ''), []);
  t.is(await at.world.images.readFile(id, '/etc/passwd', 10), undefined);
});

test('the root of an image has the attributes of the topmost layer that has an entry for it', async (t) => {
  await using at = await setUp();
  at.registry.add('low', image([low, base], {}));
  at.registry.add('both', image([low, base, rooted(0o700, 5, 6), upper], {}));
  const rootOf = async (tag: string) =>
    (await at.world.images.mounts(await pull(at.world, at.registry, tag), container)).root;
  t.deepEqual(await rootOf('low'), { mode: 0o1711, uid: 3, gid: 4 });
  t.deepEqual(await rootOf('both'), { mode: 0o700, uid: 5, gid: 6 });
  t.deepEqual(await rootOf('1'), { mode: 0o755, uid: 0, gid: 0 });
});

test('layers below one with an opaque root are not mounted', async (t) => {
  await using at = await setUp();
  at.registry.add('hiding', image([base, upper, hiding], {}));
  at.registry.add('above', image([hiding, upper], {}));
  const lowersOf = async (world: ImageWorld, id: string) =>
    Promise.all((await world.images.mounts(id, container)).lowers.map((lower) => readdir(lower)));
  const id = await pull(at.world, at.registry, 'hiding');
  t.deepEqual(await lowersOf(at.world, id), [['new']]);
  await using world = await at.world.reopen();
  t.deepEqual(await lowersOf(world, id), [['new']]);
  t.deepEqual(await lowersOf(world, await pull(world, at.registry, 'above')), [['upper'], ['new']]);
});

test('what a layer says of its root holds after a restart for an image that shares it', async (t) => {
  await using at = await setUp();
  at.registry.add('low', image([low], {}));
  at.registry.add('shared', image([base, upper, low, hiding, base], {}));
  await pull(at.world, at.registry, 'low');
  await using world = await at.world.reopen();
  const requests = at.registry.requests.length;
  const mounts = await world.images.mounts(await pull(world, at.registry, 'low'), container);
  t.deepEqual(mounts.root, { mode: 0o1711, uid: 3, gid: 4 });
  t.false(at.registry.requests.slice(requests).some(({ path }) => path.endsWith(low.digest)));
  // The layer that says it is hidden here.
  const shared = await world.images.mounts(await pull(world, at.registry, 'shared'), container);
  t.deepEqual(shared.root, { mode: 0o755, uid: 0, gid: 0 });
  t.is(shared.lowers.length, 2);
});

test('a repeated pull does not fetch a layer anew that an opaque one hides', async (t) => {
  await using at = await setUp();
  at.registry.add('hiding', image([low, hiding], {}));
  await pull(at.world, at.registry, 'hiding');
  await at.world.images.collect();
  const before = await at.world.content();
  const requests = at.registry.requests.length;
  await pull(at.world, at.registry, 'hiding');
  t.false(at.registry.requests.slice(requests).some(({ path }) => path.includes('/blobs/')));
  t.deepEqual(await at.world.content(), before);
});

test('garbage collection removes nothing that an image needs', async (t) => {
  await using at = await setUp();
  const before = await at.world.content();
  await at.world.images.collect();
  t.deepEqual(await at.world.content(), before);
});

test('garbage collection leaves a pull in flight alone', async (t) => {
  await using at = await setUp();
  await at.world.images.remove(one.id);
  await at.world.images.remove(two.id);
  const held = Promise.withResolvers<void>();
  at.registry.behave((request, _response, next) =>
    request.url?.endsWith(upper.digest) ? void held.promise.then(next) : next(),
  );
  const pulling = pull(at.world, at.registry, '2');
  for (let i = 0; i < 20; i += 1) {
    if (i === 10) held.resolve();
    await sleep(20);
    await at.world.images.collect();
  }
  t.is(await pulling, two.id);
  t.deepEqual(
    (await readFile(join((await at.world.images.mounts(two.id, container)).lowers[1] ?? '', 'base'))).toString(),
    'base',
  );
});

test('a tag that moves leaves the old image under its digest alone', async (t) => {
  await using at = await setUp();
  at.registry.add('1', two);
  t.is(await pull(at.world, at.registry, '1'), two.id);
  const { host } = at.registry;
  t.deepEqual(at.world.images.resolve(one.id)?.repoTags, []);
  t.deepEqual(at.world.images.resolve(one.id)?.repoDigests, [`${host}/app@${one.manifest.digest}`]);
  t.deepEqual(at.world.images.resolve(`${host}/app:1`)?.repoTags, [`${host}/app:1`, `${host}/app:2`]);
});

test('after a restart images, names and usage are the same', async (t) => {
  await using at = await setUp();
  const before = [at.world.images.list(), await at.world.images.usage()];
  await using world = await at.world.reopen();
  const byId = (a: { id: string }, b: { id: string }): number => a.id.localeCompare(b.id);
  t.deepEqual(world.images.list().toSorted(byId), at.world.images.list().toSorted(byId));
  t.deepEqual([(before[0] as unknown[]).length, await world.images.usage()], [2, before[1]]);
  t.deepEqual(world.warnings, []);
});

test('A8: a broken record is set aside with a warning, and the rest is there', async (t) => {
  await using at = await setUp();
  const file = join(at.world.root, 'images/images', `${digestParts(two.id).hex}.json`);
  await writeFile(file, '');
  await using world = await at.world.reopen();
  t.deepEqual(
    world.images.list().map(({ id }) => id),
    [one.id],
  );
  t.true(world.warnings.includes('broken record is set aside'));
  t.true((await world.content()).includes(`images/${digestParts(two.id).hex}.json.broken`));
  t.is(await pull(world, at.registry, '2'), two.id);
});

test('what a later Berth has written of images is left as it is, and nothing that it may need is removed', async (t) => {
  await using at = await setUp();
  const file = join(at.world.root, 'images/images', `${digestParts(two.id).hex}.json`);
  const tree = join(at.world.root, 'images', layerPath(base), 'tree.json');
  const before = await at.world.content();
  const texts = await Promise.all(
    [file, tree].map(async (path) => {
      const text = (await readFile(path, 'utf8')).replace('"version":1', '"version":3');
      await writeFile(path, text);
      return text;
    }),
  );
  await using world = await at.world.reopen();
  t.deepEqual(
    world.images.list().map(({ id }) => id),
    [one.id],
  );
  t.true(world.warnings.includes('record is of a later berthd: it and its layers are left alone'));
  t.true(world.warnings.includes('layer is of a later berthd: it is left alone'));
  await world.images.collect();
  t.deepEqual(await world.content(), before);
  t.deepEqual(await Promise.all([file, tree].map((path) => readFile(path, 'utf8'))), texts);
});

test('a record that the next Berth has made for this one as well is read', async (t) => {
  await using at = await setUp();
  const file = join(at.world.root, 'images/images', `${digestParts(two.id).hex}.json`);
  await writeFile(
    file,
    (await readFile(file, 'utf8')).replace('"version":1', '"version":2,"compatible":1,"ofNext":true'),
  );
  await using world = await at.world.reopen();
  t.deepEqual(
    world.images
      .list()
      .map(({ id }) => id)
      .sort(),
    [one.id, two.id].sort(),
  );
  t.deepEqual(world.warnings, []);
});

test('A10: an image that lost a layer is dropped alone', async (t) => {
  await using at = await setUp();
  await rm(join(at.world.root, 'images', layerPath(upper)), { recursive: true });
  await using world = await at.world.reopen();
  t.deepEqual(
    world.images.list().map(({ id }) => id),
    [one.id],
  );
  t.is(await pull(world, at.registry, '2'), two.id);
});

test('A10: a layer whose commit was not finished is removed', async (t) => {
  await using at = await setUp();
  await rm(join(at.world.root, 'images', layerPath(upper), 'tree.json'));
  await using world = await at.world.reopen();
  t.false((await world.content()).includes(layerPath(upper)));
  t.deepEqual(
    world.images.list().map(({ id }) => id),
    [one.id],
  );
});

test('what was in the making when the daemon ended is removed at the next start', async (t) => {
  await using at = await setUp();
  const before = await at.world.content();
  await mkdir(join(at.world.root, 'images/tmp/layer.1.1.tmp/fs'), { recursive: true });
  await writeFile(join(at.world.root, 'images/tmp/blob.1.2.tmp'), 'half');
  await writeFile(join(at.world.root, 'images/names/x.json.1.3.tmp'), '{');
  await using world = await at.world.reopen();
  t.deepEqual(await world.content(), before);
});

test('CVE-2021-41103: the store is closed to others, also after somebody opened it', async (t) => {
  await using at = await setUp();
  const path = join(at.world.root, 'images');
  await chmod(path, 0o755);
  await using _world = await at.world.reopen();
  t.is((await stat(path)).mode & 0o777, 0o700);
  t.is((await stat(join(path, 'io.sock'))).mode & 0o777, 0o600);
});

test('usage is what is on the disk and falls when an image goes', async (t) => {
  await using at = await setUp();
  const before = await at.world.images.usage();
  t.true(before.bytes > 0 && before.inodes > 0);
  await at.world.images.remove(two.id);
  t.true((await at.world.images.usage()).bytes < before.bytes);
});

test('a root whose socket path would be too long is refused with the length allowed', async (t) => {
  const { path, cleanup } = await dir({ prefix: 'bt-images-', unsafeCleanup: true });
  const error = await t.throwsAsync(openWorld({ root: join(path, 'x'.repeat(100)) }), {
    message: /longer than 107 bytes/,
  });
  t.is((error as BerthError).code, 'invalid-argument');
  await cleanup();
});

const withLayout = async (
  images: ReadonlyMap<string, Image>,
): Promise<{ path: string; cleanup: () => Promise<void> }> => {
  const made = await dir({ prefix: 'bt-layout-', unsafeCleanup: true });
  await writeLayout(made.path, images);
  return made;
};

test('an image layout is imported under its own name and under a given one', async (t) => {
  await using world = await openWorld();
  const layout = await withLayout(new Map([['example.org/app:1', two]]));
  t.is(await world.images.importLayout(layout.path, undefined, never), two.id);
  t.is(await world.images.importLayout(layout.path, 'mine:2', never), two.id);
  t.deepEqual(world.images.resolve(two.id)?.repoTags, ['docker.io/library/mine:2', 'example.org/app:1']);
  await layout.cleanup();
  t.is(String(await world.images.readFile(two.id, '/upper', 100)), 'upper');
});

test('of a layout with several images the one with the name is imported', async (t) => {
  await using world = await openWorld();
  const layout = await withLayout(
    new Map([
      ['example.org/a:1', one],
      ['example.org/b:1', two],
    ]),
  );
  t.is(await world.images.importLayout(layout.path, 'example.org/b:1', never), two.id);
  await t.throwsAsync(world.images.importLayout(layout.path, undefined, never), { message: /give the name of one/ });
  await layout.cleanup();
});

test('a layout with a wrong blob is data loss and leaves nothing', async (t) => {
  await using world = await openWorld();
  const layout = await withLayout(new Map([['example.org/a:1', one]]));
  await writeFile(join(layout.path, 'blobs', base.digest.replace(':', '/')), Buffer.alloc(base.blob.length));
  const error = await t.throwsAsync(world.images.importLayout(layout.path, undefined, never));
  t.is((error as BerthError).code, 'data-loss');
  t.deepEqual(await world.content(), []);
  await layout.cleanup();
});

test('containerd 2023-25153: a huge document of a layout is refused before it is read', async (t) => {
  await using world = await openWorld();
  const before = process.memoryUsage.rss();
  for (const name of ['oci-layout', 'index.json', blobPath(two.manifest.digest), blobPath(two.id)]) {
    const layout = await withLayout(new Map([['example.org/a:1', two]]));
    await truncate(join(layout.path, name), 2 ** 40);
    const error = await t.throwsAsync(world.images.importLayout(layout.path, undefined, never), {
      message: /1099511627776 bytes, the limit is 4194304|more than the \d+ bytes of its descriptor/,
    });
    t.is((error as BerthError).code, name === blobPath(two.id) ? 'data-loss' : 'resource-exhausted', name);
    await layout.cleanup();
  }
  t.true(process.memoryUsage.rss() - before < 200 << 20);
  t.deepEqual(await world.content(), []);
});

test('a layout whose documents are links or endless files is an invalid argument', async (t) => {
  await using world = await openWorld();
  for (const name of [
    'oci-layout',
    'index.json',
    blobPath(two.manifest.digest),
    blobPath(two.id),
    blobPath(base.digest),
  ])
    for (const make of [
      (path: string) => symlink('/dev/zero', path),
      (path: string) => symlink('/etc/hostname', path),
      async (path: string) => void spawnSync('mkfifo', [path]),
    ]) {
      const layout = await withLayout(new Map([['example.org/a:1', two]]));
      await rm(join(layout.path, name));
      await make(join(layout.path, name));
      const error = await t.throwsAsync(world.images.importLayout(layout.path, undefined, never));
      t.is((error as BerthError).code, 'invalid-argument', error?.message);
      t.regex(error?.message ?? '', /not a regular file/);
      await layout.cleanup();
    }
  t.deepEqual(await world.content(), []);
});

test('a directory that is no layout is not found', async (t) => {
  await using world = await openWorld();
  const error = await t.throwsAsync(world.images.importLayout('/var/empty-not-there', 'a:1', never));
  t.is((error as BerthError).code, 'not-found');
});

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
};

test("Debian's docker-registry serves what we pull, by tag and by digest", async (t) => {
  await using world = await openWorld();
  const storage = await dir({ prefix: 'bt-registry-', unsafeCleanup: true });
  await writeRegistry(join(storage.path, 'data'), new Map([['x/app:1', two]]));
  const host = `127.0.0.1:${await freePort()}`;
  const file = join(storage.path, 'config.yml');
  await writeFile(
    file,
    `version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: ${storage.path}/data}}\nhttp: {addr: "${host}"}\n`,
  );
  const child = spawn('docker-registry', ['serve', file], { stdio: 'ignore' });
  try {
    await until(
      'docker-registry answers',
      async () => (await fetch(`http://${host}/v2/`).catch(() => undefined))?.ok === true,
    );
    t.is(await world.images.pull(`${host}/app:1`, undefined, { signal: never }), two.id);
    await world.images.remove(two.id);
    t.is(await world.images.pull(`${host}/app@${two.manifest.digest}`, undefined, { signal: never }), two.id);
    t.deepEqual(world.images.resolve(two.id)?.repoTags, []);
    const error = await t.throwsAsync(world.images.pull(`${host}/app:none`, undefined, { signal: never }));
    t.is((error as BerthError).code, 'not-found');
  } finally {
    child.kill('SIGKILL');
    await storage.cleanup();
  }
});
