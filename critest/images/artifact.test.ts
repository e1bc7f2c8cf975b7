import { createHash } from 'node:crypto';
import { mkdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { dir } from 'tmp-promise';
import { sha256 } from '../../base/digest.ts';
import { codeOf, type ErrorCode } from '../../base/errors.ts';
import { type ArtifactLayer, artifact } from '../harness/artifact.ts';
import { architecture, image, layer } from '../harness/image.ts';
import { startTestRegistry, type TestRegistry } from '../harness/own-registry.ts';
import { type ImageWorld, openWithRegistry, openWorld, testSettings } from './world.ts';

const never = new AbortController().signal;
const open = (options: Parameters<typeof openWorld>[0] = {}) => openWithRegistry({}, options);
const pull = (world: ImageWorld, registry: TestRegistry, tag = '1') =>
  world.images.pull(`${registry.host}/app:${tag}`, undefined, { signal: never });
const treeOf = (world: ImageWorld, id: string): string => world.images.layersOf(id).lowers[0] ?? '';

const emptyConfig = sha256('{}');
const big = Buffer.alloc(300_000, 'model');
const model = artifact(
  [
    { data: 'config', title: 'config.json' },
    { data: big, title: 'weights/part/1.bin' },
    { data: big, title: './weights//2.bin' },
    { data: 'nameless' },
    { data: 'by another name', annotations: { 'org.cncf.model.filepath': 'weights/3.bin' } },
  ],
  { annotations: { maker: 'berth' } },
);

test('an artifact is a volume of its named files, which are stored once', async (t) => {
  await using at = await open();
  at.registry.add('1', model);
  t.is(await pull(at.world, at.registry), model.id);
  const record = at.world.images.resolve(`${at.registry.host}/app:1`);
  t.like(record, {
    id: model.id,
    artifactType: 'application/vnd.example.thing',
    repoTags: [`${at.registry.host}/app:1`],
  });
  const tree = treeOf(at.world, model.id);
  t.is(await readFile(join(tree, 'config.json'), 'utf8'), 'config');
  t.is(await readFile(join(tree, 'weights/3.bin'), 'utf8'), 'by another name');
  for (const path of ['weights/part/1.bin', 'weights/2.bin']) t.true(big.equals(await readFile(join(tree, path))));
  const file = await stat(join(tree, 'weights/2.bin'));
  t.deepEqual([file.mode & 0o7777, file.uid, file.nlink], [0o644, 0, 3], 'two names and the blob');
  t.is((await stat(join(tree, 'weights/part'))).mode & 0o7777, 0o755);
  t.true((await at.world.images.usage()).bytes < 2 * big.length, 'counted once');
  await at.world.images.collect();
  const { manifest, config } = await at.world.images.inspect(model.id);
  t.deepEqual([String(config), manifest], ['{}', model.blobs.get(model.id)], 'both documents stay');
  const paths = at.registry.requests.map(({ path }) => path);
  t.is(new Set(paths).size, paths.length, 'nothing was fetched twice');
});

test('an artifact that is asked for by SHA-512 has an id that is found again, also after a restart', async (t) => {
  await using first = await open();
  const { registry } = first;
  registry.add('1', model);
  const body = model.blobs.get(model.id) ?? Buffer.alloc(0);
  const digest = `sha512:${createHash('sha512').update(body).digest('hex')}`;
  registry.put(`app/manifests/${digest}`, model.manifest.mediaType, body);
  const name = `${registry.host}/app@${digest}`;
  const id = await first.world.images.pull(name, undefined, { signal: never });
  t.is(first.world.images.resolve(id)?.id, model.id);
  await using world = await first.world.reopen();
  t.is(world.images.resolve(name)?.id, model.id);
  t.is(await readFile(join(treeOf(world, model.id), 'config.json'), 'utf8'), 'config');
  t.deepEqual((await world.images.inspect(model.id)).manifest, body);
});

test('a file of an artifact that a mirror gives wrong comes from the registry', async (t) => {
  await using registry = await startTestRegistry();
  await using mirror = await startTestRegistry();
  for (const each of [registry, mirror]) each.add('1', model);
  mirror.put(`app/blobs/${sha256(big)}`, 'application/octet-stream', Buffer.alloc(big.length));
  const { path, cleanup } = await dir({ prefix: 'bt-certs-', unsafeCleanup: true });
  t.teardown(cleanup);
  await mkdir(join(path, '_default'));
  const table = `server = "http://${registry.host}"\n[host."http://${mirror.host}"]\n`;
  await writeFile(join(path, '_default/hosts.toml'), table);
  await using world = await openWorld({ registry: { configPath: [path], plainHttp: [], stallSeconds: 1 } });
  t.is(await pull(world, registry), model.id);
  t.true(big.equals(await readFile(join(treeOf(world, model.id), 'weights/2.bin'))));
});

test('artifacts that share a file share it on disk, and each keeps it until it goes', async (t) => {
  await using at = await open({ images: { ...testSettings, keepBlobs: false } });
  const other = artifact([{ data: big, title: 'other' }]);
  at.registry.add('1', model);
  at.registry.add('2', other);
  await Promise.all([pull(at.world, at.registry), pull(at.world, at.registry, '2')]);
  t.is((await stat(join(treeOf(at.world, other.id), 'other'))).nlink, 4);
  await at.world.images.remove(model.id);
  t.true(big.equals(await readFile(join(treeOf(at.world, other.id), 'other'))));
  await at.world.images.remove(other.id);
  t.deepEqual(await at.world.content(), []);
});

test('an artifact is there after a restart, and a lost tree or a spoilt blob is made good by the next pull', async (t) => {
  await using first = await open();
  first.registry.add('1', model);
  await pull(first.world, first.registry);
  await using world = await first.world.reopen();
  t.like(world.images.resolve(model.id), {
    annotations: { maker: 'berth' },
    artifactType: 'application/vnd.example.thing',
    size: first.world.images.resolve(model.id)?.size,
  });
  await world.images.remove(model.id);
  t.deepEqual(await world.content(), []);
  await pull(world, first.registry);
  const [blob = ''] = (await world.content()).filter((name) => name.startsWith('layers/'));
  await truncate(join(world.root, 'images', blob, 'tree.json'), 0);
  const path = join(
    world.root,
    'images/blobs/sha256',
    [...model.blobs].find(([, data]) => data.equals(big))?.[0].slice(7) ?? '',
  );
  await writeFile(path, Buffer.alloc(big.length));
  await using again = await world.reopen();
  t.is(again.images.resolve(model.id), undefined, 'dropped: its tree is broken');
  t.is(await pull(again, first.registry), model.id);
  t.true(big.equals(await readFile(join(treeOf(again, model.id), 'weights/2.bin'))));
});

const refused: readonly (readonly [string, ArtifactLayer[], ErrorCode, RegExp])[] = [
  ['a title that leads out', [{ data: 'x', title: '../x' }], 'invalid-argument', /leads out of the volume/],
  ['a title that leads out further in', [{ data: 'x', title: 'a/../../x' }], 'invalid-argument', /leads out/],
  ['an absolute title', [{ data: 'x', title: '/etc/passwd' }], 'invalid-argument', /absolute/],
  ['a title that names a directory', [{ data: 'x', title: 'a/' }], 'invalid-argument', /names no file/],
  ['a title that names the volume', [{ data: 'x', title: '.' }], 'invalid-argument', /names no file/],
  ['a title with a newline', [{ data: 'x', title: 'a\nb' }], 'invalid-argument', /control character/],
  ['a title with a zero byte', [{ data: 'x', title: 'a\0b' }], 'invalid-argument', /control character/],
  ['a title too long for a file', [{ data: 'x', title: 'ä'.repeat(128) }], 'invalid-argument', /255 bytes/],
  ['a title too deep', [{ data: 'x', title: 'a/'.repeat(32).concat('b') }], 'invalid-argument', /32 directories/],
  [
    'two layers of one title',
    [
      { data: 'x', title: 'a/b' },
      { data: 'y', title: 'a/./b' },
    ],
    'invalid-argument',
    /two layers have the title "a\/b"/,
  ],
  [
    'a file that is a directory too',
    [
      { data: 'x', title: 'a/b/c' },
      { data: 'y', title: 'a' },
    ],
    'invalid-argument',
    /"a" is a file and a directory/,
  ],
  ['no title at all', [{ data: 'x' }, { data: 'y' }], 'unimplemented', /without a file to mount/],
  ['no layer at all', [], 'unimplemented', /without a file to mount/],
  [
    'a foreign layer',
    [{ data: 'x', title: 'x', mediaType: 'application/vnd.oci.image.layer.nondistributable.v1.tar' }],
    'unimplemented',
    /foreign layer/,
  ],
];

for (const [what, layers, code, message] of refused)
  test(`an artifact with ${what} is refused before any of it is fetched`, async (t) => {
    await using at = await open();
    at.registry.add('1', artifact(layers));
    const error = await t.throwsAsync(pull(at.world, at.registry), { message });
    t.is(codeOf(error), code);
    const fetched = at.registry.requests.filter(({ path }) => path.includes('/blobs/'));
    t.true(
      fetched.every(({ path }) => path.endsWith(emptyConfig)),
      'the config alone',
    );
    t.deepEqual(await at.world.content(), []);
  });

test('an artifact with a wrong blob, or one larger than a layer may be, leaves nothing', async (t) => {
  await using at = await open({ images: { ...testSettings, layerLimit: { bytes: 2 ** 18, expansion: 200 } } });
  const small = artifact([
    { data: 'right', title: 'a' },
    { data: 'x'.repeat(100), title: 'b' },
  ]);
  at.registry.add('1', small);
  at.registry.add('2', model);
  const [, wrong = ''] = [...small.blobs.keys()];
  at.registry.put(`app/blobs/${wrong}`, 'application/octet-stream', Buffer.from('y'.repeat(100)));
  t.is(codeOf(await t.throwsAsync(pull(at.world, at.registry))), 'data-loss');
  t.is(codeOf(await t.throwsAsync(pull(at.world, at.registry, '2'))), 'resource-exhausted');
  t.deepEqual(await at.world.content(), []);
});

test('what tells an artifact from an image is its type, not its layers', async (t) => {
  await using at = await open();
  const config = { mediaType: 'application/vnd.oci.image.config.v1+json' };
  const real = image([layer([{ name: 'f', data: 'x' }])], {});
  const typeless = JSON.parse(String(real.blobs.get(real.manifest.digest)));
  delete typeless.config.mediaType;
  at.registry.add('1', real);
  at.registry.put('app/manifests/typeless', real.manifest.mediaType, Buffer.from(JSON.stringify(typeless)));
  t.is(await pull(at.world, at.registry, 'typeless'), real.id);
  t.is(at.world.images.resolve(real.id)?.artifactType, undefined);
  const chart = artifact([{ data: 'x', title: 'x' }], { artifactType: undefined });
  const typed = artifact([{ data: 'x', title: 'x' }], {
    config: { ...config, size: 2, digest: [...chart.blobs.keys()][1] },
  });
  at.registry.add('chart', chart);
  at.registry.add('typed', typed);
  t.is(await pull(at.world, at.registry, 'chart'), chart.id);
  t.is(at.world.images.resolve(chart.id)?.artifactType, 'application/vnd.oci.empty.v1+json');
  t.is(await pull(at.world, at.registry, 'typed'), typed.id);
  t.is(at.world.images.resolve(typed.id)?.artifactType, 'application/vnd.example.thing');
});

test('an index that lists an artifact without a platform gives it to a machine that finds no image', async (t) => {
  await using at = await open();
  at.registry.add('1', model);
  const index = (manifests: object[]) =>
    Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests }));
  const foreign = { ...model.manifest, platform: { os: 'linux', architecture: `not-${architecture}` } };
  at.registry.put('app/manifests/2', 'application/vnd.oci.image.index.v1+json', index([foreign, model.manifest]));
  t.is(await pull(at.world, at.registry, '2'), model.id);
});
