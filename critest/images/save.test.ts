import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gunzipSync, zstdCompressSync } from 'node:zlib';
import test from 'ava';
import { digestParts, sha256 } from '../../base/digest.ts';
import type { BerthError } from '../../base/errors.ts';
import { artifact } from '../harness/artifact.ts';
import { architecture, type Image, image, type Layer, layer, mediaTypes } from '../harness/image.ts';
import type { TestRegistry } from '../harness/own-registry.ts';
import { type ImageWorld, openWithRegistry, openWorld, testSettings } from './world.ts';

const run = promisify(execFile);
const base = layer([{ name: 'base', data: 'base' }]);
const upper = layer([{ name: 'upper', data: 'upper'.repeat(300_000) }]);
const one = image([base], { Cmd: ['one'] });
const two = image([base, upper], { Cmd: ['two'] });
const other = image([upper], { Cmd: ['other'] }, 'riscv64');
const never = new AbortController().signal;
const blobPath = (digest: string): string => `blobs/${digest.replace(':', '/')}`;

const setUp = async (keepBlobs = true) => {
  const at = await openWithRegistry({ 1: one, 2: two }, { images: { ...testSettings, keepBlobs } });
  return { ...at, name: (tag: string): string => `${at.registry.host}/app:${tag}` };
};

const save = async (
  world: ImageWorld,
  images: readonly string[],
  format: 'oci' | 'docker' = 'oci',
): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of world.images.save(images, format, never)) chunks.push(chunk);
  return Buffer.concat(chunks);
};

/** Unpacked by GNU tar, which finds fault with what is no tar. */
const unpacked = async (archive: Buffer): Promise<ReadonlyMap<string, Buffer>> => {
  const directory = await mkdtemp('/tmp/bt-save-');
  try {
    await writeFile(join(directory, 'a.tar'), archive);
    const { stderr } = await run('tar', ['-C', directory, '-xf', join(directory, 'a.tar')]);
    if (stderr !== '') throw new Error(stderr);
    await rm(join(directory, 'a.tar'));
    const names = await readdir(directory, { recursive: true, withFileTypes: true });
    const files = names.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name));
    return new Map(
      await Promise.all(files.map(async (path) => [path.slice(directory.length + 1), await readFile(path)] as const)),
    );
  } finally {
    await rm(directory, { recursive: true });
  }
};

const json = (files: ReadonlyMap<string, Buffer>, path: string): unknown => JSON.parse(String(files.get(path)));

test('an archive has each blob once and byte for byte as it was pulled, and is the same each time', async (t) => {
  await using at = await setUp();
  const { world, name, pull } = at;
  await pull('1');
  await pull('2');
  const archive = await save(world, [name('1'), name('2')]);
  const files = await unpacked(archive);
  const blobs = new Map([...one.blobs, ...two.blobs]);
  t.deepEqual(
    [...files.keys()].toSorted(),
    [...[...blobs.keys()].map(blobPath), 'index.json', 'manifest.json', 'oci-layout'].toSorted(),
  );
  for (const [digest, bytes] of blobs) t.true(files.get(blobPath(digest))?.equals(bytes), digest);
  const entry = ({ manifest: { digest, size } }: Image, tag: string): object => ({
    mediaType: mediaTypes.manifest,
    digest,
    size,
    annotations: { 'io.containerd.image.name': name(tag), 'org.opencontainers.image.ref.name': tag },
    platform: { os: 'linux', architecture },
  });
  t.deepEqual(json(files, 'index.json'), {
    schemaVersion: 2,
    mediaType: mediaTypes.index,
    manifests: [entry(one, '1'), entry(two, '2')],
  });
  t.deepEqual(json(files, 'manifest.json'), [
    { Config: blobPath(one.id), RepoTags: [name('1')], Layers: [blobPath(base.digest)] },
    { Config: blobPath(two.id), RepoTags: [name('2')], Layers: [blobPath(base.digest), blobPath(upper.digest)] },
  ]);
  t.is(sha256(await save(world, [name('1'), name('2')])), sha256(archive));
});

test('what was saved is loaded by another store with the same ids, names, digests and layers', async (t) => {
  await using at = await setUp();
  await at.pull('1');
  await at.pull('2');
  for (const format of ['oci', 'docker'] as const) {
    const archive = await save(at.world, [at.name('1'), at.name('2')], format);
    await using there = await openWorld();
    const pieces = async function* () {
      yield archive;
    };
    await there.images.load(pieces(), undefined, { signal: never });
    const seen = (world: ImageWorld) =>
      world.images.list().map(({ id, repoTags, layers }) => [id, repoTags, layers.map(({ digest }) => digest)]);
    t.deepEqual(seen(there), seen(at.world));
    if (format === 'oci') t.deepEqual(there.images.list(), at.world.images.list());
  }
});

test('an image that is meant by its id has all its tags in the archive, one by its name only that', async (t) => {
  await using at = await setUp();
  at.registry.add('latest', one);
  await at.pull('1');
  await at.pull('latest');
  const tags = async (image: string): Promise<unknown> => {
    const items = json(await unpacked(await save(at.world, [image])), 'manifest.json') as { RepoTags: unknown }[];
    return items.map(({ RepoTags }) => RepoTags);
  };
  t.deepEqual(await tags(one.id), [[at.name('1'), at.name('latest')]]);
  t.deepEqual(await tags(at.name('latest')), [[at.name('latest')]]);
});

const index = (...images: readonly Image[]): { bytes: Buffer; digest: string } => {
  const manifests = images.map(({ manifest }) => manifest);
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }));
  return { bytes, digest: sha256(bytes) };
};
const addIndex = (registry: TestRegistry, tag: string, bytes: Buffer): void =>
  registry.put(`app/manifests/${tag}`, mediaTypes.index, bytes);

test('an index goes along when all that it names is here, else the manifest of this machine', async (t) => {
  await using at = await setUp();
  at.registry.add('other', other);
  const [single, multi] = [index(one), index(one, other)];
  addIndex(at.registry, 'single', single.bytes);
  addIndex(at.registry, 'multi', multi.bytes);
  await at.pull('single');
  await at.pull('multi');
  const rootOf = async (tag: string): Promise<unknown> => {
    const files = await unpacked(await save(at.world, [at.name(tag)]));
    const { manifests } = json(files, 'index.json') as { manifests: { digest: string }[] };
    t.is(files.has(blobPath(single.digest)), tag === 'single');
    t.false(files.has(blobPath(multi.digest)));
    return manifests.map(({ digest }) => digest);
  };
  t.deepEqual(await rootOf('single'), [single.digest]);
  t.deepEqual(await rootOf('multi'), [one.manifest.digest]);
});

const failure = async (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: BerthError) => `${error.code}: ${error.message}`,
  );

test('an image whose blobs were not kept is refused, and the error says so', async (t) => {
  await using at = await setUp(false);
  await at.pull('1');
  t.regex(await failure(save(at.world, [at.name('1')])), /^failed-precondition: save images: .*keep_blobs is false/);
  t.regex(await failure(save(at.world, ['nothing:1'])), /^not-found: .*"nothing:1": there is no such image/);
  t.regex(await failure(save(at.world, [])), /^invalid-argument: .*no image is given/);
});

test('a blob with a wrong byte on the disk ends the archive with data-loss', async (t) => {
  await using at = await setUp();
  await at.pull('2');
  const path = join(at.world.root, 'images/blobs/sha256', digestParts(upper.digest).hex);
  const bytes = await readFile(path);
  bytes[40] = (bytes[40] ?? 0) ^ 1;
  await writeFile(path, bytes);
  t.regex(await failure(save(at.world, [at.name('2')])), /^data-loss: .*its content has the digest/);
});

/** The same configuration and content in layers that are compressed otherwise. */
const asZstd = (of: readonly Layer[], config: object): Image =>
  image(
    of.map((each) => {
      const blob = zstdCompressSync(gunzipSync(each.blob));
      return { ...each, blob, digest: sha256(blob) };
    }),
    config,
    architecture,
    mediaTypes.zstdLayer,
  );

test('an image that came with two compressions is saved and pushed as its name has it, or not at all', async (t) => {
  await using at = await setUp();
  const zstd = asZstd([base], { Cmd: ['one'] });
  t.is(zstd.id, one.id);
  t.not(zstd.manifest.digest, one.manifest.digest);
  at.registry.add('zstd', zstd);
  await at.pull('1');
  await at.pull('zstd');
  const files = await unpacked(await save(at.world, [at.name('1')]));
  t.true(files.has(blobPath(one.manifest.digest)), 'the first still has its blobs');
  t.false(files.has(blobPath(zstd.manifest.digest)));
  for (const image of [at.name('zstd'), at.name(`x@${zstd.manifest.digest}`).replace('x@', '@').replace(':@', '@')])
    await t.throwsAsync(save(at.world, [image]), {
      message: /not here: .*under another name; remove the image and pull it again/,
    });
  const { signal } = new AbortController();
  const push = (name: string) => at.world.images.push(name, name, undefined, { signal, report: () => undefined });
  await t.throwsAsync(push(at.name('zstd')), { message: /not here: .*under another name/ });
  // As the advice says.
  await at.world.images.remove(one.id);
  await at.pull('zstd');
  t.true((await unpacked(await save(at.world, [at.name('zstd')]))).has(blobPath(zstd.manifest.digest)));
});

test('an artifact with a layer that is no file of it says so when it is saved', async (t) => {
  await using at = await setUp();
  const thing = artifact([{ data: 'one', title: 'one' }, { data: 'none' }]);
  at.registry.add('thing', thing);
  await at.pull('thing');
  await t.throwsAsync(save(at.world, [at.name('thing')]), { message: /artifact sha256:.*: only layers with a title/ });
});

test('an image that was loaded with another compression than it was pulled with is saved by each name as it came', async (t) => {
  const zstd = asZstd([base], { Cmd: ['one'] });
  await using other = await setUp();
  other.registry.add('zstd', zstd);
  await other.pull('zstd');
  const archive = await save(other.world, [other.name('zstd')]);
  await using at = await setUp();
  await at.pull('1');
  const load = async function* () {
    yield archive;
  };
  await at.world.images.load(load(), 'loaded.example/app:1', { signal: never });
  await at.world.images.tag('loaded.example/app:1', 'loaded.example/app:2');
  await at.world.images.untag('loaded.example/app:1');
  const again = await at.world.reopen();
  await again.images.collect();
  for (const [name, of] of [
    [at.name('1'), one],
    ['loaded.example/app:2', zstd],
  ] as const) {
    const files = await unpacked(await save(again, [name]));
    for (const [digest, bytes] of of.blobs) t.true(files.get(blobPath(digest))?.equals(bytes), name);
  }
  t.deepEqual(
    again.images.list().map(({ id }) => id),
    [one.id],
  );
  await again.images.remove(one.id);
  t.deepEqual(await again.content(), []);
  await again[Symbol.asyncDispose]();
});
