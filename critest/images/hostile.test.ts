import { mkdir, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { dir } from 'tmp-promise';
import { type Digest, sha256 } from '../../base/digest.ts';
import { BerthError, codeOf, type ErrorCode } from '../../base/errors.ts';
import { type Image, image, type Layer, layer, mediaTypes } from '../harness/image.ts';
import { type Behaviour, cut, isBlob, startTestRegistry, type TestRegistry } from '../harness/own-registry.ts';
import { tar } from '../harness/tar.ts';
import { openWorld, soonStalled, testRegistrySettings, testSettings } from './world.ts';

const content = Buffer.alloc(300_000, 'some text that compresses, and a number: ');
for (let i = 0; i < content.length; i += 97) content[i] = (i * 31) % 251;
const small = layer([
  { name: 'etc/', type: 'directory' },
  { name: 'etc/file', data: content },
]);
const good = image([small], { Cmd: ['sh'] });

const never = new AbortController().signal;
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** Pulls `app:1` and expects an error, and a store with nothing new. */
const refuses = async (
  t: ExecutionContext,
  prepare: (registry: TestRegistry) => void,
  code: ErrorCode,
  message: RegExp,
  settings = testRegistrySettings,
): Promise<void> => {
  await using registry = await startTestRegistry();
  await using world = await openWorld({ registry: settings });
  registry.add('1', good);
  prepare(registry);
  const before = await world.content();
  const pull = world.images.pull(`${registry.host}/app:1`, undefined, { signal: t.context as AbortSignal });
  const error = await t.throwsAsync(pull, { instanceOf: BerthError, message });
  t.is(error?.code, code);
  t.deepEqual(await world.content(), before);
  t.deepEqual(world.images.list(), []);
};

test.beforeEach((t) => {
  t.context = new AbortController().signal;
});

const answers =
  (
    status: number,
    headers: Readonly<Record<string, string>> = {},
    only: (request: IncomingMessage) => boolean = () => true,
  ): Behaviour =>
  (request, response, next) =>
    only(request) ? void response.writeHead(status, headers).end() : next();

/** Sends the first half of a blob, then does what it is told. */
const half =
  (then: 'stall' | 'cut'): Behaviour =>
  (request, response, next) => {
    const body = good.blobs.get((request.url ?? '').split('/').at(-1) as Digest);
    if (!isBlob(request) || body === undefined || body.length < 1000) return next();
    response.writeHead(200, { 'content-length': body.length });
    response.write(body.subarray(0, body.length / 2));
    if (then === 'cut') cut(response);
  };

test('a registry that stalls before it answers is unavailable', (t) =>
  refuses(t, (registry) => registry.behave(() => undefined), 'unavailable', /stalls: no byte for 0.3 s/, soonStalled));

test('a registry that stalls in the middle of a layer is unavailable', (t) =>
  refuses(t, (registry) => registry.behave(half('stall')), 'unavailable', /stalls/, soonStalled));

test('a registry that closes half way and knows no ranges is unavailable', (t) =>
  refuses(t, (registry) => registry.behave(half('cut')), 'unavailable', /cannot be reached/));

test('a registry that answers 500 is unavailable', (t) =>
  refuses(t, (registry) => registry.behave(answers(500)), 'unavailable', /answers 500/));

test('500 for a layer alone leaves nothing', (t) =>
  refuses(t, (registry) => registry.behave(answers(500, {}, isBlob)), 'unavailable', /blob sha256:.* answers 500/));

test('401 without credentials is unauthenticated', (t) =>
  refuses(
    t,
    (registry) => registry.behave(answers(401, { 'www-authenticate': 'Basic realm="x"' })),
    'unauthenticated',
    /asks for credentials and none were given/,
  ));

test('403 is permission denied', (t) =>
  refuses(t, (registry) => registry.behave(answers(403)), 'permission-denied', /answers 403/));

test('an unknown tag is not found, with the reason that the registry gives', (t) =>
  refuses(t, (registry) => registry.behave(answers(404)), 'not-found', /manifest 1: .* answers 404/));

test('429 that asks for an hour is not waited for', (t) =>
  refuses(
    t,
    (registry) => registry.behave(answers(429, { 'retry-after': '3600' })),
    'resource-exhausted',
    /answers 429/,
  ));

test('a registry that nobody listens for is unavailable', async (t) => {
  await using world = await openWorld();
  const registry = await startTestRegistry();
  await registry[Symbol.asyncDispose]();
  const signal = t.context as AbortSignal;
  const error = await t.throwsAsync(world.images.pull(`${registry.host}/app:1`, undefined, { signal }));
  t.is((error as BerthError).code, 'unavailable');
});

test('a host that is not marked for plain HTTP is refused, with what to write', async (t) => {
  await using registry = await startTestRegistry();
  const { path, cleanup } = await dir({ prefix: 'bt-certs-', unsafeCleanup: true });
  t.teardown(cleanup);
  await mkdir(join(path, '_default'));
  await writeFile(join(path, '_default/hosts.toml'), `server = "https://${registry.host}"`);
  await using world = await openWorld({ registry: { configPath: [path], plainHttp: [], stallSeconds: 1 } });
  const signal = t.context as AbortSignal;
  const pull = world.images.pull(`${registry.host}/app:1`, undefined, { signal });
  await t.throwsAsync(pull, {
    message: /does not speak TLS: .*write http:\/\/ in hosts.toml, or add "127.0.0.1:\d+" to plain_http/,
  });
  t.deepEqual(registry.requests, []);
});

test('a redirect to a host that is not marked for plain HTTP is refused', (t) =>
  refuses(
    t,
    (registry) => registry.behave(answers(307, { location: 'http://localhost:1/x' }, isBlob)),
    'failed-precondition',
    /localhost:1 is to be reached by plain HTTP: .*plain_http/,
  ));

test('a redirect loop is given up', (t) =>
  refuses(
    t,
    (registry) => registry.behave((request, response) => void response.writeHead(302, { location: request.url }).end()),
    'unavailable',
    /more than 5 redirects/,
  ));

const withLayer = (blob: Buffer, diffId: Digest, change: Partial<Layer> & { size?: number } = {}): Image =>
  rewritten(image([{ diffId, digest: sha256(blob), blob }], {}), (manifest) => {
    for (const item of manifest.layers) Object.assign(item, change);
  });

interface ManifestJson {
  config: { size: number; digest: Digest };
  layers: { size: number; digest: Digest; mediaType: string }[];
}

const rewritten = (made: Image, change: (manifest: ManifestJson) => void): Image => {
  const manifest = JSON.parse(String(made.blobs.get(made.manifest.digest))) as ManifestJson;
  change(manifest);
  const body = json(manifest);
  const digest = sha256(body);
  return {
    id: made.id,
    manifest: { ...made.manifest, digest, size: body.length },
    blobs: new Map(made.blobs).set(digest, body),
  };
};

test('a layer with other bytes of the same size is data loss', (t) =>
  refuses(
    t,
    (registry) => {
      const bytes = Buffer.from(small.blob);
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 1;
      registry.put(`app/blobs/${small.digest}`, 'x', bytes);
    },
    'data-loss',
    /layer sha256/,
  ));

test('a layer that is longer than the manifest says is data loss', (t) =>
  refuses(
    t,
    (registry) => registry.put(`app/blobs/${small.digest}`, 'x', Buffer.concat([small.blob, Buffer.from('more')])),
    'data-loss',
    /bytes are offered, the manifest says/,
  ));

test('a layer whose length is not told and that never ends is data loss', (t) =>
  refuses(
    t,
    (registry) =>
      registry.behave((request, response, next) => {
        if (!isBlob(request) || !request.url?.endsWith(small.digest)) return next();
        response.write(small.blob);
        response.end(Buffer.alloc(1 << 20));
      }),
    'data-loss',
    /more than the \d+ bytes|decompressed|cannot be decompressed/,
  ));

test('a layer that is shorter than the manifest says is data loss', (t) =>
  refuses(
    t,
    (registry) => registry.add('1', withLayer(small.blob, small.diffId, { size: small.blob.length + 1 })),
    'data-loss',
    /bytes are offered/,
  ));

test('a truncated gzip whose digest is right is data loss', (t) =>
  refuses(
    t,
    (registry) => registry.add('1', withLayer(small.blob.subarray(0, -200), small.diffId)),
    'data-loss',
    /cannot be decompressed: it ends in the middle/,
  ));

test('a layer with another DiffID than its config says is data loss', (t) =>
  refuses(
    t,
    (registry) => registry.add('1', withLayer(small.blob, sha256('another'))),
    'data-loss',
    /decompressed: its content has the digest/,
  ));

test('garbage behind a gzip is data loss', (t) =>
  refuses(
    t,
    (registry) => registry.add('1', withLayer(Buffer.concat([small.blob, Buffer.alloc(5000, 'x')]), small.diffId)),
    'data-loss',
    /cannot be decompressed/,
  ));

test('a layer that is no archive is refused by the unpacker', (t) => {
  const bytes = Buffer.alloc(5000, 'no archive');
  return refuses(
    t,
    (registry) => registry.add('1', withLayer(gzipSync(bytes), sha256(bytes))),
    'invalid-argument',
    /unpack layer/,
  );
});

test('a layer whose names leave the root is refused', (t) => {
  const bad = layer([{ name: '../../escaped', data: 'x' }]);
  return refuses(t, (registry) => registry.add('1', image([bad], {})), 'invalid-argument', /unpack layer/);
});

test('one bad layer among good ones leaves no image', async (t) => {
  await using registry = await startTestRegistry();
  await using world = await openWorld();
  const other = layer([{ name: 'other', data: 'x' }]);
  registry.add('1', image([small, other], {}));
  registry.put(`app/blobs/${other.digest}`, 'x', Buffer.alloc(other.blob.length));
  const signal = t.context as AbortSignal;
  await t.throwsAsync(world.images.pull(`${registry.host}/app:1`, undefined, { signal }));
  t.deepEqual(world.images.list(), []);
  const left = await world.content();
  t.true(
    left.every((path) => /^(blobs|layers)\//.test(path)),
    left.join(),
  );
});

test('a manifest whose digest is not the one asked for is data loss', async (t) => {
  await using registry = await startTestRegistry();
  await using world = await openWorld();
  const digest = sha256('another');
  registry.put(`app/manifests/${digest}`, mediaTypes.manifest, good.blobs.get(good.manifest.digest) ?? Buffer.alloc(0));
  const signal = t.context as AbortSignal;
  const error = await t.throwsAsync(world.images.pull(`${registry.host}/app@${digest}`, undefined, { signal }));
  t.is((error as BerthError).code, 'data-loss');
  t.deepEqual(await world.content(), []);
});

test('containerd 2023-25153: a manifest of 5 MiB is refused before it is read', (t) =>
  refuses(
    t,
    (registry) => registry.put('app/manifests/1', mediaTypes.manifest, Buffer.alloc(5 << 20, ' ')),
    'resource-exhausted',
    /more than 4194304 bytes/,
  ));

test('containerd 2023-25153: a document whose length is told is refused before its first byte', async (t) => {
  // The body never comes: whoever waited for it would say that the registry stalls.
  const promised: Behaviour = (_request, response) =>
    void response.writeHead(200, { 'content-length': 2 ** 40 }).flushHeaders();
  await refuses(t, (registry) => registry.behave(promised), 'resource-exhausted', /more than 4194304 bytes/);
  const prepare = (registry: TestRegistry): void => {
    const index = json({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [good.manifest] });
    registry.put('app/manifests/1', mediaTypes.index, index);
    registry.behave((request, response, next) =>
      request.url?.endsWith(good.manifest.digest) ? promised(request, response, next) : next(),
    );
  };
  await refuses(t, prepare, 'resource-exhausted', /more than 4194304 bytes/);
});

test('containerd 2023-25153: a config that its manifest gives 5 MiB is not asked for', (t) => {
  let asked = 0;
  return refuses(
    t,
    (registry) => {
      registry.add(
        '1',
        rewritten(good, ({ config }) => void Object.assign(config, { size: 5 << 20 })),
      );
      registry.behave((request, _response, next) => {
        asked += isBlob(request) ? 1 : 0;
        next();
      });
    },
    'resource-exhausted',
    /5242880 bytes, the limit is 4194304/,
  ).then(() => t.is(asked, 0));
});

test('containerd 2023-25153: a token of 2 MiB is refused before it is read', (t) =>
  refuses(
    t,
    (registry) =>
      registry.behave((request, response) => {
        const challenge = { 'www-authenticate': `Bearer realm="http://${registry.host}/token"` };
        if (request.url?.startsWith('/token') !== true) return void response.writeHead(401, challenge).end();
        response.writeHead(200, { 'content-length': 2 << 20 }).flushHeaders();
      }),
    'resource-exhausted',
    /token of .*more than 1048576 bytes/,
  ));

test('a manifest without end is refused at the limit', (t) =>
  refuses(
    t,
    (registry) =>
      registry.behave((_request, response) => {
        const more = (): void => {
          if (!response.destroyed) response.write(Buffer.alloc(1 << 18, ' '), more);
        };
        more();
      }),
    'resource-exhausted',
    /more than 4194304 bytes/,
  ));

test('a manifest that is not JSON is an invalid argument', (t) =>
  refuses(
    t,
    (registry) => registry.put('app/manifests/1', mediaTypes.manifest, Buffer.from('{"schemaVersion":2,')),
    'invalid-argument',
    /not JSON/,
  ));

test('an index without our platform names those that it has', (t) =>
  refuses(
    t,
    (registry) => {
      const entry = (os: string, architecture: string, variant?: string) => ({
        ...good.manifest,
        platform: { os, architecture, ...(variant !== undefined && { variant }) },
      });
      const manifests = [entry('linux', 's390x'), entry('linux', 'arm', 'v6'), entry('unknown', 'unknown')];
      const body = json({ schemaVersion: 2, mediaType: mediaTypes.index, manifests });
      registry.put('app/manifests/1', mediaTypes.index, body);
    },
    'not-found',
    /no image for linux\/\w+.*it has linux\/s390x, linux\/arm\/v6$/,
  ));

test('a reference that is not one is an invalid argument', async (t) => {
  await using world = await openWorld();
  const error = await t.throwsAsync(world.images.pull('Not A Name', undefined, { signal: t.context as AbortSignal }));
  t.is((error as BerthError).code, 'invalid-argument');
});

for (const [name, compress] of [
  ['gzip', gzipSync],
  ['zstd', zstdCompressSync],
] as const)
  test(`a ${name} bomb: the layer is refused before it fills the disk`, async (t) => {
    await using registry = await startTestRegistry();
    await using world = await openWorld({
      images: { ...testSettings, layerLimit: { bytes: 1 << 20, expansion: 200 } },
    });
    const plain = tar([{ name: 'zeros', data: Buffer.alloc(64 << 20) }]);
    const blob = compress(plain);
    registry.add('1', image([{ diffId: sha256(plain), digest: sha256(blob), blob }], {}));
    const error = await t.throwsAsync(world.images.pull(`${registry.host}/app:1`, undefined, { signal: never }), {
      message: /unpacks to more than 1048576 bytes; .*max_layer_size/,
    });
    t.is(codeOf(error), 'resource-exhausted');
    t.deepEqual(await world.content(), []);
    registry.add('2', good);
    t.is(await world.images.pull(`${registry.host}/app:2`, undefined, { signal: never }), good.id);
  });
