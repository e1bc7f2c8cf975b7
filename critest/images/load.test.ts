import { gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib';
import test from 'ava';
import { digestParts, sha256 } from '../../base/digest.ts';
import type { BerthError } from '../../base/errors.ts';
import { artifact } from '../harness/artifact.ts';
import { type Image, image, layer, mediaTypes } from '../harness/image.ts';
import { type TarEntry, tar } from '../harness/tar.ts';
import { until } from '../harness/until.ts';
import { type ImageWorld, openWorld, testSettings } from './world.ts';

const base = layer([{ name: 'base', data: 'base' }]);
const upper = layer([{ name: 'upper', data: 'upper'.repeat(500) }]);
const one = image([base], { Cmd: ['one'] });
const two = image([base, upper], { Cmd: ['two'] });
const never = new AbortController().signal;

type File = readonly [name: string, data: string | Uint8Array];
const file = ([name, data]: File): TarEntry => ({ name, data });
const blobPath = (digest: string): string => `blobs/${digest.replace(':', '/')}`;
const blobsOf = (...images: readonly Image[]): TarEntry[] => [
  { name: 'blobs/', type: 'directory' },
  ...new Map(images.flatMap(({ blobs }) => [...blobs].map(([digest, data]) => [digest, data] as const)))
    .entries()
    .map(([digest, data]) => file([blobPath(digest), data])),
];
const layoutFile = file(['oci-layout', '{"imageLayoutVersion":"1.0.0"}']);
const indexFile = (images: Readonly<Record<string, Image>>, key = 'io.containerd.image.name'): TarEntry => {
  const manifests = Object.entries(images).map(([name, { manifest }]) => ({
    ...manifest,
    annotations: { [key]: name },
  }));
  return file(['index.json', JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests })]);
};
const named = { 'example.org/a:1': one, 'example.org/b:2': two };
const layout: readonly TarEntry[] = [...blobsOf(one, two), indexFile(named), layoutFile];

async function* inPieces(bytes: Uint8Array, size = 1000): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield Buffer.from(bytes.subarray(at, at + size));
}

const load = (world: ImageWorld, archive: Uint8Array, name?: string, size?: number) =>
  world.images.load(inPieces(archive, size), name, { signal: never });

const refused = async (world: ImageWorld, archive: Uint8Array, name?: string): Promise<string> => {
  const error = await load(world, archive, name).then(
    () => undefined,
    (cause: BerthError) => cause,
  );
  return error === undefined ? 'taken' : `${error.code}: ${error.message}`;
};

const hex = (digest: string): string => digest.slice(7);
/** A layer's directory in the archives of Docker 24 and before: each image has its own. */
const legacyLayer = (of: Image, at: number): string => hex(sha256(`${of.id} ${at}`));
const legacy = (of: Image, at: number, content: Pick<TarEntry, 'data' | 'type' | 'link'>): TarEntry[] => {
  const directory = legacyLayer(of, at);
  return [
    { name: `${directory}/`, type: 'directory' },
    file([`${directory}/VERSION`, '1.0']),
    file([`${directory}/json`, '{}']),
    { name: `${directory}/layer.tar`, ...content },
  ];
};
const item = (of: Image, layers: number, tags: readonly string[]): object => ({
  Config: `${hex(of.id)}.json`,
  RepoTags: tags,
  Layers: Array.from({ length: layers }, (_, at) => `${legacyLayer(of, at)}/layer.tar`),
});
const legacyArchive: readonly TarEntry[] = [
  ...[one, two].map(({ id, blobs }) => file([`${hex(id)}.json`, blobs.get(id) ?? ''])),
  ...legacy(one, 0, { data: gunzipSync(base.blob) }),
  ...legacy(two, 0, { type: 'symlink', link: `../${legacyLayer(one, 0)}/layer.tar` }),
  ...legacy(two, 1, { data: gunzipSync(upper.blob) }),
  file(['manifest.json', JSON.stringify([item(one, 1, ['one:1', 'one:latest']), item(two, 2, ['example.org/two:2'])])]),
  file(['repositories', '{}']),
];

test('an OCI layout with two images is loaded in any order of its entries, plain, by gzip and by zstd, in any pieces', async (t) => {
  const plain = tar(layout);
  const archives = [plain, tar(layout.toReversed()), gzipSync(plain), zstdCompressSync(plain)];
  for (const [at, archive] of archives.entries()) {
    await using world = await openWorld();
    const images = await load(world, archive, undefined, [1000, 513, 7, 100_000][at]);
    t.deepEqual(images, [
      { id: one.id, digest: one.manifest.digest, names: ['example.org/a:1'] },
      { id: two.id, digest: two.manifest.digest, names: ['example.org/b:2'] },
    ]);
    const [a, b] = ['example.org/a:1', 'example.org/b:2'].map((name) => world.images.resolve(name));
    t.deepEqual(a?.repoDigests, [`example.org/a@${one.manifest.digest}`]);
    t.is(b?.id, two.id);
    const blobs = (await world.content()).filter((path) => path.startsWith('blobs/'));
    const expected = new Set([...one.blobs.keys(), ...two.blobs.keys()].map((digest) => blobPath(digest)));
    t.deepEqual(blobs, [...expected].toSorted(), 'the blobs are those of the images, and nothing else');
  }
});

test('what docker save writes is loaded with its tags, and layers that are links to others', async (t) => {
  await using world = await openWorld();
  const images = await load(world, tar(legacyArchive));
  t.deepEqual(
    images.map(({ id, names }) => [id, names]),
    [
      [one.id, ['docker.io/library/one:1', 'docker.io/library/one:latest']],
      [two.id, ['example.org/two:2']],
    ],
  );
  t.deepEqual(
    world.images.resolve('example.org/two:2')?.layers.map(({ digest, mediaType }) => [digest, mediaType]),
    [base.diffId, upper.diffId].map((digest) => [digest, 'application/vnd.oci.image.layer.v1.tar']),
  );
  const again = await load(world, tar(legacyArchive.toReversed()));
  t.deepEqual(
    again.map(({ digest }) => digest),
    images.map(({ digest }) => digest),
    'the manifests made for it are the same each time',
  );
});

test('an image that is here keeps the manifest it came with when a docker archive brings it again', async (t) => {
  await using world = await openWorld();
  await load(world, tar(layout));
  await load(world, tar(legacyArchive));
  const two2 = world.images.resolve('example.org/two:2');
  t.deepEqual([two2?.id, two2?.repoTags], [two.id, ['example.org/b:2', 'example.org/two:2']]);
  t.deepEqual(
    two2?.layers.map(({ digest }) => digest),
    [base.digest, upper.digest],
  );
  const blobs = (await world.content()).filter((path) => path.startsWith('blobs/'));
  const expected = new Set([...one.blobs.keys(), ...two.blobs.keys()].map((digest) => blobPath(digest)));
  t.deepEqual(blobs, [...expected].toSorted());
});

test('an archive that is both is read by its index.json, with names that only manifest.json has', async (t) => {
  await using world = await openWorld();
  const unnamed = { schemaVersion: 2, mediaType: mediaTypes.index, manifests: [one.manifest] };
  const manifest = [{ Config: blobPath(one.id), RepoTags: ['one:1'], Layers: [blobPath(base.digest)] }];
  const entries = [
    ...blobsOf(one),
    file(['index.json', JSON.stringify(unnamed)]),
    layoutFile,
    file(['manifest.json', JSON.stringify(manifest)]),
  ];
  const images = await load(world, tar(entries));
  t.deepEqual(images, [{ id: one.id, digest: one.manifest.digest, names: ['docker.io/library/one:1'] }]);
});

test('a name chooses one of several images, or names the only one', async (t) => {
  await using world = await openWorld();
  await load(world, tar(layout), 'example.org/b:2');
  t.deepEqual(
    world.images.list().map(({ repoTags }) => repoTags),
    [['example.org/b:2']],
  );
  const tagOnly = [...blobsOf(one), indexFile({ '1.0': one }, 'org.opencontainers.image.ref.name'), layoutFile];
  t.regex(await refused(world, tar(tagOnly)), /^invalid-argument: .*does not name its image; give a name/);
  await load(world, tar(tagOnly), 'mine:3');
  t.is(world.images.resolve('mine:3')?.id, one.id);
  t.regex(
    await refused(world, tar(layout), 'mine:4'),
    /^invalid-argument: .*several images.*example.org\/a:1, example.org\/b:2/,
  );
});

test('of an index the image for this machine is taken, another only when it is asked for', async (t) => {
  await using world = await openWorld();
  const other = image([upper], {}, 'riscv64');
  const manifests = [other, one].map(({ manifest }) => ({
    ...manifest,
    annotations: { 'io.containerd.image.name': 'a.example/multi:1' },
  }));
  const entries = [
    ...blobsOf(one, other),
    file(['index.json', JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests })]),
    layoutFile,
  ];
  t.is((await load(world, tar(entries)))[0]?.id, one.id);
  const platform = { os: 'linux', architecture: 'riscv64' };
  const asked = await world.images.load(inPieces(tar(entries)), undefined, { signal: never, platform });
  t.is(asked[0]?.id, other.id);
  const only = [...blobsOf(other), indexFile({ 'a.example/b:1': other }), layoutFile];
  t.regex(await refused(world, tar(only)), /^not-found: .*no image for linux\/.*it has linux\/riscv64/);
});

test('with keep_blobs = false no compressed layer stays', async (t) => {
  await using world = await openWorld({ images: { ...testSettings, keepBlobs: false } });
  await load(world, tar(layout));
  const content = await world.content();
  for (const { digest } of [base, upper]) t.false(content.includes(blobPath(digest)));
  t.true(content.includes(`layers/${digestParts(upper.diffId).hex}`));
  t.true(content.includes(blobPath(two.manifest.digest)));
});

test('with keep_blobs = false the files of an artifact stay blobs, and so does what somebody else reads', async (t) => {
  await using world = await openWorld({ images: { ...testSettings, keepBlobs: false } });
  const shared = Buffer.from(one.blobs.get(base.digest) ?? '');
  const thing = artifact([
    { data: 'file', title: 'file' },
    { data: shared, title: 'layer' },
  ]);
  await load(world, tar([...blobsOf(thing), indexFile({ 'example.org/thing:1': thing }), layoutFile]));
  const archive = tar(layout);
  const { promise: isLoaded, resolve } = Promise.withResolvers<void>();
  async function* slowly(): AsyncGenerator<Buffer> {
    yield* inPieces(archive.subarray(0, -512));
    await isLoaded;
    yield* inPieces(archive.subarray(-512));
  }
  const slow = world.images.load(slowly(), undefined, { signal: never });
  await until('the layer is there', async () => (await world.content()).includes(blobPath(upper.digest)));
  await load(world, archive);
  resolve();
  await slow;
  const content = await world.content();
  for (const digest of thing.blobs.keys()) t.true(content.includes(blobPath(digest)), digest);
  t.false(content.includes(blobPath(upper.digest)));
});

const corrupted = (entries: readonly TarEntry[]): TarEntry[] =>
  entries.map((entry) => {
    if (entry.name !== blobPath(upper.digest)) return entry;
    const data = Buffer.from(entry.data as Buffer);
    data[data.length - 9] = (data[data.length - 9] ?? 0) ^ 1;
    return { ...entry, data };
  });

const hostile: readonly (readonly [string, () => Uint8Array, RegExp])[] = [
  ['a wrong byte in a layer', () => tar(corrupted(layout)), /^data-loss: .*its content has the digest sha256:/],
  ['no tar at all', () => Buffer.alloc(2000, 'no tar'), /^invalid-argument: .*not a tar archive/],
  ['nothing', () => Buffer.alloc(0), /^invalid-argument: .*no index.json and no manifest.json/],
  ['a name that leads out', () => tar([file(['a/../../x', 'x'])]), /^invalid-argument: .*leads out/],
  ['an absolute name', () => tar([file(['/etc/x', 'x'])]), /^invalid-argument: .*leads out/],
  [
    'a link that leads out',
    () => tar([{ name: 'a/layer.tar', type: 'symlink', link: '../../etc/shadow' }, ...layout]),
    /^invalid-argument: .*link "a\/layer.tar" leads out/,
  ],
  [
    'an absolute link',
    () => tar([{ name: 'a', type: 'hardlink', link: '/etc/shadow' }, ...layout]),
    /^invalid-argument: .*leads out/,
  ],
  ['a device', () => tar([{ name: 'a', type: 'char', major: 1, minor: 1 }]), /^invalid-argument: .*is a device/],
  [
    'a sparse file',
    () => tar([{ name: 'a', data: 'x', pax: { 'GNU.sparse.size': '1' } }]),
    /^invalid-argument: .*sparse/,
  ],
  [
    'a layer that is not there',
    () => tar(layout.filter(({ name }) => name !== blobPath(upper.digest))),
    /^not-found: .*it has no blob sha256:.*is it whole/,
  ],
  [
    'two different files of one name',
    () => tar([...layout, indexFile({ 'example.org/z:1': one })]),
    /^invalid-argument: .*two different "index.json"/,
  ],
  [
    'links in a ring',
    () =>
      tar([
        file(['manifest.json', '[{"Config":"a","RepoTags":["a:1"],"Layers":[]}]']),
        { name: 'a', type: 'symlink', link: 'b' },
        { name: 'b', type: 'symlink', link: 'a' },
      ]),
    /^invalid-argument: .*it has no "a"/,
  ],
  [
    'a huge index.json',
    () => tar([layoutFile, file(['index.json', Buffer.alloc((4 << 20) + 1, ' ')])]),
    /^resource-exhausted: .*index.json: 4194305 bytes/,
  ],
  [
    'a manifest of Docker schema 1',
    () => {
      const bytes = Buffer.from('{"schemaVersion":1,"name":"x","tag":"1"}');
      const manifests = [{ mediaType: mediaTypes.manifest, digest: sha256(bytes), size: bytes.length }];
      return tar([layoutFile, file([blobPath(sha256(bytes)), bytes]), indexOf(manifests)]);
    },
    /^unimplemented: .*schema 1/,
  ],
  [
    'a foreign layer',
    () => {
      const foreign = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
      const text = one.blobs.get(one.manifest.digest)?.toString().replace(mediaTypes.layer, foreign) ?? '';
      const manifests = [{ mediaType: mediaTypes.manifest, digest: sha256(text), size: text.length }];
      return tar([layoutFile, ...blobsOf(one), file([blobPath(sha256(text)), text]), indexOf(manifests)]);
    },
    /^unimplemented: .*foreign layer/,
  ],
];

const indexOf = (manifests: readonly object[]): TarEntry => {
  const annotations = { 'io.containerd.image.name': 'a.example/x:1' };
  const entries = manifests.map((entry) => ({ ...entry, annotations }));
  return file(['index.json', JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: entries })]);
};

for (const [what, archive, expected] of hostile)
  test(`an archive with ${what} is refused, and nothing of it is left`, async (t) => {
    await using world = await openWorld();
    t.regex(await refused(world, archive()), expected);
    t.deepEqual(world.images.list(), []);
    t.deepEqual(await world.content(), []);
  });

test('an archive that is cut anywhere is refused, and nothing of it is left', async (t) => {
  await using world = await openWorld();
  const whole = tar(layout);
  const squeezed = gzipSync(whole);
  const ends = whole.length - 1024 - 600;
  for (let length = 100; length < ends; length += 997)
    t.regex(await refused(world, whole.subarray(0, length)), /^(data-loss|invalid-argument|not-found): /, `${length}`);
  for (const length of [5, 100, squeezed.length >> 1, squeezed.length - 1])
    t.regex(await refused(world, squeezed.subarray(0, length)), /^data-loss: /, `gzip ${length}`);
  t.deepEqual(await world.content(), []);
});

test('a client that goes half way leaves nothing', async (t) => {
  await using world = await openWorld();
  const whole = tar(layout);
  for (const end of [700, 3000, whole.length - 2000]) {
    const gone = new AbortController();
    const cut = async function* (): AsyncGenerator<Buffer> {
      yield whole.subarray(0, end);
      gone.abort();
      throw gone.signal.reason;
    };
    const error = await t.throwsAsync(world.images.load(cut(), undefined, { signal: gone.signal }));
    t.is((error as BerthError).code, 'cancelled');
  }
  t.deepEqual(await world.content(), []);
});
