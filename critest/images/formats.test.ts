import test, { type ExecutionContext } from 'ava';
import { sha256 } from '../../base/digest.ts';
import { codeOf, type ErrorCode } from '../../base/errors.ts';
import { architecture, image, type Layer, layer, mediaTypes } from '../harness/image.ts';
import { startTestRegistry, type TestRegistry } from '../harness/own-registry.ts';
import { type ImageWorld, openWorld } from './world.ts';

const never = new AbortController().signal;
const layers = ['a', 'b'].map((name) => layer([{ name, data: name }])) as [Layer, Layer];
const made = image(layers, {});
const text = (digest: string): string => String(made.blobs.get(digest as never));
const manifest = JSON.parse(text(made.manifest.digest));
const config = JSON.parse(text(made.id));

interface Place extends AsyncDisposable {
  readonly registry: TestRegistry;
  readonly world: ImageWorld;
  pull(tag?: string): Promise<string>;
  /** A manifest or index under the tag, as it is. */
  put(body: unknown, type?: string, tag?: string): void;
  /** The manifest `of` with another config document. */
  putConfig(document: object, of?: object): void;
}

const open = async (): Promise<Place> => {
  const [registry, world] = await Promise.all([startTestRegistry(), openWorld()]);
  registry.add('whole', made);
  const put: Place['put'] = (body, type = mediaTypes.manifest, tag = '1') => {
    const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    for (const name of [tag, sha256(bytes)]) registry.put(`app/manifests/${name}`, type, bytes);
  };
  return {
    registry,
    world,
    pull: (tag = '1') => world.images.pull(`${registry.host}/app:${tag}`, undefined, { signal: never }),
    put,
    putConfig: (document, of = manifest) => {
      const bytes = Buffer.from(JSON.stringify(document));
      registry.put(`app/blobs/${sha256(bytes)}`, 'x', bytes);
      put({ ...of, config: { ...manifest.config, size: bytes.length, digest: sha256(bytes) } });
    },
    [Symbol.asyncDispose]: async () => {
      await registry[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
};

const refuses = async (t: ExecutionContext, at: Place, code: ErrorCode, message: RegExp, blobs = 0): Promise<void> => {
  at.registry.requests.length = 0;
  const error = await t.throwsAsync(at.pull(), { message });
  t.is(codeOf(error), code);
  t.is(at.registry.requests.filter(({ path }) => path.includes('/blobs/')).length, blobs, 'blobs that were asked for');
  t.deepEqual(await at.world.content(), []);
};

const [first] = manifest.layers;
const json = JSON.stringify(manifest);

const wrongManifests: readonly (readonly [string, unknown, ErrorCode, RegExp])[] = [
  [
    'ten thousand layers',
    { ...manifest, layers: Array(10_000).fill(first) },
    'unimplemented',
    /10000 layers, at most 500/,
  ],
  ['501 layers', { ...manifest, layers: Array(501).fill(first) }, 'unimplemented', /501 layers/],
  [
    'a foreign layer',
    {
      ...manifest,
      layers: [
        first,
        {
          ...first,
          mediaType: 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
          urls: ['http://127.0.0.1/x'],
        },
      ],
    },
    'unimplemented',
    /foreign layer/,
  ],
  ['schema 1', { schemaVersion: 1, name: 'x', fsLayers: [] }, 'unimplemented', /schema 1 is not supported/],
  ['layers twice', json.replace('"layers":', '"layers":[],"layers":'), 'invalid-argument', /"layers" twice/],
  [
    'the digest of a layer twice',
    json.replace('"digest":', `"digest":"${made.id}","digest":`),
    'invalid-argument',
    /"digest" twice/,
  ],
  ['a size with a fraction', json.replace(/"size":(\d+)/, '"size":$1.0'), 'invalid-argument', /size is not a size/],
  ['a size with an exponent', json.replace(/"size":(\d+)/, '"size":$1e0'), 'invalid-argument', /size is not a size/],
  ['a negative size', json.replace(/"size":(\d+)/, '"size":-$1'), 'invalid-argument', /size is not a size/],
  [
    'a size beyond 2^53',
    json.replace(/"size":(\d+)/, '"size":9007199254740993'),
    'invalid-argument',
    /size is not a size/,
  ],
  [
    'layers by its prototype',
    json.replace('"layers":', '"__proto__":{"layers":[]},"lajers":'),
    'invalid-argument',
    /no config or no layers/,
  ],
  ['Layers beside layers', json.replace('"layers":', '"Layers":[],"layers":'), 'invalid-argument', /in another case/],
  [
    'nesting without end',
    `${json.slice(0, -1)},"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
    'invalid-argument',
    /nested more than/,
  ],
  [
    'a type that is not its own',
    { ...manifest, mediaType: mediaTypes.index },
    'invalid-argument',
    /not that of its content/,
  ],
];

for (const [what, body, code, message] of wrongManifests)
  test(`a manifest with ${what} is refused before anything else is asked for`, async (t) => {
    await using at = await open();
    at.put(body);
    await refuses(t, at, code, message);
    t.is(at.registry.requests.length, 1);
  });

test('schema 1 is refused by its media type, whatever the document looks like', async (t) => {
  await using at = await open();
  at.put(manifest, 'application/vnd.docker.distribution.manifest.v1+prettyjws');
  await refuses(t, at, 'unimplemented', /schema 1 is not supported/);
});

const wrongConfigs: readonly (readonly [string, object, ErrorCode, RegExp])[] = [
  [
    'one diff_id too few',
    { ...config, rootfs: { ...config.rootfs, diff_ids: config.rootfs.diff_ids.slice(1) } },
    'invalid-argument',
    /1 diff_ids for the manifest's 2 layers/,
  ],
  [
    'one diff_id too many',
    { ...config, rootfs: { ...config.rootfs, diff_ids: [...config.rootfs.diff_ids, made.id] } },
    'invalid-argument',
    /3 diff_ids for/,
  ],
  ['no rootfs', { ...config, rootfs: undefined }, 'invalid-argument', /rootfs is not/],
  ['another architecture', { ...config, architecture: 'not-this' }, 'not-found', /the image is for linux\/not-this/],
  ['another system', { ...config, os: 'windows' }, 'not-found', /the image is for windows/],
];

for (const [what, document, code, message] of wrongConfigs)
  test(`a config with ${what} is refused before any layer is asked for`, async (t) => {
    await using at = await open();
    at.putConfig(document);
    await refuses(t, at, code, message, 1);
  });

test('diff_ids in another order are data loss, and leave nothing', async (t) => {
  await using at = await open();
  at.putConfig({ ...config, rootfs: { ...config.rootfs, diff_ids: config.rootfs.diff_ids.toReversed() } });
  t.is(codeOf(await t.throwsAsync(at.pull())), 'data-loss');
  t.deepEqual(await at.world.content(), []);
});

test('what a config says of its history, its size or its parent changes nothing', async (t) => {
  await using at = await open();
  at.putConfig({ ...config, history: [{ empty_layer: false }, 7, 'x'], Size: -1.5, parent: '../x', created: 'never' });
  const id = await at.pull();
  t.like(at.world.images.resolve(id), { layers: layers.map(({ digest, diffId }) => ({ digest, diffId })) });
});

test('an image in Docker’s formats, by a manifest list, is the same image', async (t) => {
  await using at = await open();
  const docker = 'application/vnd.docker';
  const type = `${docker}.distribution.manifest.v2+json`;
  const translated = {
    ...manifest,
    mediaType: type,
    config: { ...manifest.config, mediaType: `${docker}.container.image.v1+json` },
    layers: manifest.layers.map((each: object) => ({ ...each, mediaType: `${docker}.image.rootfs.diff.tar.gzip` })),
  };
  const body = JSON.stringify(translated);
  at.put(body, type, 'plain');
  t.is(await at.pull('plain'), made.id);
  const list = `${docker}.distribution.manifest.list.v2+json`;
  const entry = { mediaType: type, size: body.length, digest: sha256(body) };
  const other = {
    ...entry,
    digest: sha256('x'),
    platform: { os: 'windows', architecture, 'os.version': '10.0.20348.1' },
  };
  at.put(
    { schemaVersion: 2, mediaType: list, manifests: [other, { ...entry, platform: { os: 'linux', architecture } }] },
    list,
  );
  t.is(await at.pull(), made.id);
});

const index = (...manifests: object[]) => ({ schemaVersion: 2, mediaType: mediaTypes.index, manifests });
const entryOf = (body: object, mediaType: string, more: object = {}) => {
  const bytes = JSON.stringify(body);
  return { mediaType, size: bytes.length, digest: sha256(bytes), ...more };
};

test('an index in an index in an index leads to the image, one more does not, and none is walked for ever', async (t) => {
  await using at = await open();
  let body: object = index({ ...made.manifest });
  for (let depth = 0; depth < 2; depth += 1) {
    at.put(body, mediaTypes.index, 'inner');
    body = index(entryOf(body, mediaTypes.index));
  }
  at.put(body, mediaTypes.index);
  t.is(await at.pull(), made.id);
  await at.world.images.remove(made.id);
  at.put(index(entryOf(body, mediaTypes.index)), mediaTypes.index);
  await refuses(t, at, 'not-found', /no image for linux/);
  const many = Array.from({ length: 100 }, (_, i) => {
    const empty = { ...index(), annotations: { n: `${i}` } };
    at.put(empty, mediaTypes.index, 'empty');
    return entryOf(empty, mediaTypes.index);
  });
  at.put(index(...many), mediaTypes.index);
  await refuses(t, at, 'not-found', /no image for linux/);
  t.true(at.registry.requests.length < 12);
});

test('an index that tells another size than its manifest has is data loss, as a manifest is with its config', async (t) => {
  await using at = await open();
  const platform = { os: 'linux', architecture };
  at.put(index(entryOf(manifest, mediaTypes.manifest, { platform, size: json.length + 1 })), mediaTypes.index);
  at.put(manifest, mediaTypes.manifest, 'x');
  await refuses(t, at, 'data-loss', /its descriptor says/);
  at.put(index(entryOf(manifest, mediaTypes.manifest, { platform })), mediaTypes.index);
  t.is(await at.pull(), made.id);
});

test('attestations, other platforms and images with needs of their own are passed over', async (t) => {
  await using at = await open();
  const platform = { os: 'linux', architecture };
  const foreign = entryOf({ no: 'such' }, mediaTypes.manifest);
  const attestation = { ...foreign, platform, annotations: { 'vnd.docker.reference.type': 'attestation-manifest' } };
  const unknown = { ...foreign, platform: { os: 'unknown', architecture: 'unknown' } };
  const needing = { ...foreign, platform: { ...platform, 'os.features': ['erofs'] } };
  at.put(index(attestation, unknown, needing, { ...made.manifest, platform }), mediaTypes.index);
  t.is(await at.pull(), made.id);
  await at.world.images.remove(made.id);
  at.put(index(attestation, unknown, needing), mediaTypes.index);
  await refuses(t, at, 'not-found', /it has linux\/\w+ with erofs/);
});
