import { createHash } from 'node:crypto';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { zstdCompressSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { sha256 } from '../../base/digest.ts';
import type { BerthError, ErrorCode } from '../../base/errors.ts';
import { type Image, image, layer, mediaTypes } from '../harness/image.ts';
import { type Behaviour, cut, isBlob, startTestRegistry, type TestRegistry } from '../harness/own-registry.ts';
import { tar } from '../harness/tar.ts';
import { until } from '../harness/until.ts';
import { type ImageWorld, openWithRegistry, openWorld, testRegistrySettings, testSettings } from './world.ts';

const content = createHash('shake256', { outputLength: 200_000 }).update('seed').digest();
const base = layer([
  { name: 'etc/', type: 'directory' },
  { name: 'etc/file', data: content },
  { name: 'tmp/', type: 'directory', mode: 0o1777 },
]);
const upper = layer([{ name: 'upper', data: 'up' }]);
const one = image([base], { Cmd: ['one'], User: 'app' });
const two = image([base, upper], { Cmd: ['two'] });

const never = new AbortController().signal;
const pull = (world: ImageWorld, registry: TestRegistry, tag = '1', signal = never) =>
  world.images.pull(`${registry.host}/app:${tag}`, undefined, { signal });

const setUp = () => openWithRegistry({ 1: one, 2: two });

const blobRequests = ({ requests }: TestRegistry, digest: string): number =>
  requests.filter(({ path }) => path.endsWith(digest)).length;

test('a pulled image has its id, names, config and size', async (t) => {
  await using at = await setUp();
  const id = await pull(at.world, at.registry);
  t.is(id, one.id);
  const record = at.world.images.resolve(`${at.registry.host}/app:1`);
  t.deepEqual(record?.repoTags, [`${at.registry.host}/app:1`]);
  t.deepEqual(record?.repoDigests, [`${at.registry.host}/app@${one.manifest.digest}`]);
  t.is(record?.config.User, 'app');
  t.deepEqual(record?.config.Cmd, ['one']);
  t.true((record?.size ?? 0) > base.blob.length);
  t.deepEqual(at.world.images.list(), [record]);
});

test('an image is found by tag, digest, id and the start of its id', async (t) => {
  await using at = await setUp();
  const id = await pull(at.world, at.registry);
  const { host } = at.registry;
  const hex = id.slice('sha256:'.length);
  for (const text of [
    `${host}/app:1`,
    `${host}/app@${one.manifest.digest}`,
    id,
    hex,
    hex.slice(0, 12),
    id.slice(0, 20),
  ])
    t.is(at.world.images.resolve(text)?.id, id, text);
  for (const text of [
    '',
    'app',
    `${host}/app:3`,
    hex.slice(0, 5),
    'sha256:',
    'Not A Name',
    `${host}/app@${sha256('x')}`,
  ])
    t.is(at.world.images.resolve(text), undefined, text);
});

test('a layer that is there is not fetched again', async (t) => {
  await using at = await setUp();
  await pull(at.world, at.registry, '1');
  await pull(at.world, at.registry, '2');
  t.is(blobRequests(at.registry, base.digest), 1);
  t.is(blobRequests(at.registry, upper.digest), 1);
});

test('ten pulls of the same image at once fetch each blob once', async (t) => {
  await using at = await setUp();
  const ids = await Promise.all(Array.from({ length: 10 }, () => pull(at.world, at.registry, '2')));
  t.deepEqual(new Set(ids), new Set([two.id]));
  for (const { path } of at.registry.requests) t.is(blobRequests(at.registry, path), 1, path);
});

test('two images that share a layer and are pulled at once fetch it once', async (t) => {
  await using at = await setUp();
  await Promise.all([pull(at.world, at.registry, '1'), pull(at.world, at.registry, '2')]);
  t.is(blobRequests(at.registry, base.digest), 1);
});

test('a failed pull by one caller does not fail another whose registry is well', async (t) => {
  await using at = await setUp();
  await using broken = await startTestRegistry();
  broken.add('1', one);
  const joined = Promise.withResolvers<void>();
  broken.behave(heldBlob(joined.promise, (response) => response.destroy()));
  const failing = pull(at.world, broken, '1');
  await until('the layer is asked for', () => blobRequests(broken, base.digest) > 0);
  const working = pull(at.world, at.registry, '1');
  await until('the other has begun', () => at.registry.requests.length > 0);
  joined.resolve();
  await t.throwsAsync(failing);
  t.is(await working, one.id);
});

/** Lets the layer `base` wait, then does what it is told. */
const heldBlob =
  (held: Promise<void>, then: (response: Parameters<Behaviour>[1], next: () => void) => void): Behaviour =>
  (request, response, next) => {
    if (isBlob(request) && request.url?.endsWith(base.digest)) void held.then(() => then(response, next));
    else next();
  };

test("one caller's cancellation does not end the other's pull", async (t) => {
  await using at = await setUp();
  const held = Promise.withResolvers<void>();
  at.registry.behave(heldBlob(held.promise, (_response, next) => next()));
  const abort = new AbortController();
  const first = pull(at.world, at.registry, '1', abort.signal);
  const second = pull(at.world, at.registry, '1');
  await until('the layer is asked for', () => blobRequests(at.registry, base.digest) > 0);
  abort.abort();
  const error = await t.throwsAsync(first);
  t.is((error as BerthError).code, 'cancelled');
  held.resolve();
  t.is(await second, one.id);
  t.is(blobRequests(at.registry, base.digest), 1);
});

test('a cancelled pull leaves nothing', async (t) => {
  await using at = await setUp();
  at.registry.behave((request, response, next) => {
    if (!isBlob(request) || !request.url?.endsWith(base.digest)) return next();
    response.writeHead(200, { 'content-length': base.blob.length });
    response.write(base.blob.subarray(0, 100_000));
  });
  const abort = new AbortController();
  const pulling = pull(at.world, at.registry, '1', abort.signal);
  await until('the layer is asked for', () => blobRequests(at.registry, base.digest) > 0);
  await sleep(50);
  abort.abort();
  const error = await t.throwsAsync(pulling);
  t.is((error as BerthError).code, 'cancelled');
  t.deepEqual(await at.world.content(), []);
});

test('a pull that begins while the same one is being cancelled succeeds', async (t) => {
  await using at = await setUp();
  let slow = true;
  at.registry.behave((request, response, next) => {
    if (!isBlob(request) || !slow) return next();
    slow = false;
    response.writeHead(200, { 'content-length': base.blob.length }).write(base.blob.subarray(0, 10));
  });
  const abort = new AbortController();
  const first = pull(at.world, at.registry, '1', abort.signal);
  await until('the layer is asked for', () => !slow);
  abort.abort();
  const second = pull(at.world, at.registry, '1');
  await t.throwsAsync(first);
  t.is(await second, one.id);
});

test('a cut transfer goes on where it was', async (t) => {
  await using at = await setUp();
  let cuts = 0;
  at.registry.behave((request, response, next) => {
    if (!request.url?.endsWith(base.digest) || cuts === 2) return next();
    cuts += 1;
    const begin = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const { length } = base.blob;
    const range = begin === 0 ? {} : { 'content-range': `bytes ${begin}-${length - 1}/${length}` };
    response.writeHead(begin === 0 ? 200 : 206, { 'content-length': length - begin, ...range });
    response.write(base.blob.subarray(begin, begin + 60_000));
    cut(response);
  });
  t.is(await pull(at.world, at.registry), one.id);
  const ranges = at.registry.requests.filter(({ path }) => path.endsWith(base.digest)).map(({ range }) => range);
  t.deepEqual(ranges, [undefined, 'bytes=60000-', 'bytes=120000-']);
});

test('a layer that comes slowly, but comes, may take longer than a stall', async (t) => {
  await using at = await openWithRegistry({ 1: one }, { registry: { ...testRegistrySettings, stallSeconds: 2 } });
  const { blob, digest } = base;
  at.registry.behave((request, response, next) => {
    if (!request.url?.endsWith(digest)) return next();
    response.writeHead(200, { 'content-length': blob.length });
    const pieces = 25;
    const send = async (): Promise<void> => {
      for (let piece = 0; piece < pieces; piece += 1, await sleep(100))
        response.write(blob.subarray((piece * blob.length) / pieces, ((piece + 1) * blob.length) / pieces));
      response.end();
    };
    void send();
  });
  const begun = performance.now();
  t.is(await pull(at.world, at.registry), one.id);
  t.true(performance.now() - begun > 2400);
  t.is(blobRequests(at.registry, digest), 1);
});

test('a registry that answers 500 and 429 at first is asked again', async (t) => {
  await using at = await setUp();
  let failures = 0;
  at.registry.behave((_request, response, next) => {
    failures += 1;
    if (failures === 1) response.writeHead(503).end();
    else if (failures === 2) response.writeHead(429, { 'retry-after': '1' }).end();
    else next();
  });
  const begun = performance.now();
  t.is(await pull(at.world, at.registry), one.id);
  t.true(performance.now() - begun >= 1000);
});

/** Bearer authentication as the distribution's token spec has it; counts tokens and lets each be used `uses` times. */
const guard = (registry: TestRegistry, uses: number): { tokens: () => number } => {
  let issued = 0;
  let left = 0;
  registry.behave((request, response, next) => {
    const { authorization } = request.headers;
    if (request.url?.startsWith('/token?')) {
      const query = new URL(request.url, 'http://x').searchParams;
      const isKnown = authorization === `Basic ${Buffer.from('me:secret').toString('base64')}`;
      if (!isKnown || query.get('scope') !== 'repository:app:pull' || query.get('service') !== 'here')
        return void response.writeHead(401).end();
      issued += 1;
      left = uses;
      return void response.end(JSON.stringify({ token: `t${issued}` }));
    }
    if (authorization === `Bearer t${issued}` && left > 0) {
      left -= 1;
      return next();
    }
    const challenge = `Bearer realm="http://${registry.host}/token",service="here",scope="repository:app:pull"`;
    response.writeHead(401, { 'www-authenticate': challenge }).end();
  });
  return { tokens: () => issued };
};

const pullAs = (at: { registry: TestRegistry; world: ImageWorld }, username: string, password: string) =>
  at.world.images.pull(`${at.registry.host}/app:2`, { username, password }, { signal: never });

test('a bearer challenge is answered with a token that is used for every blob', async (t) => {
  await using at = await setUp();
  const { tokens } = guard(at.registry, 1000);
  t.is(await pullAs(at, 'me', 'secret'), two.id);
  t.is(tokens(), 1);
});

test('a token that ends half way is renewed', async (t) => {
  await using at = await setUp();
  const { tokens } = guard(at.registry, 2);
  t.is(await pullAs(at, 'me', 'secret'), two.id);
  t.true(tokens() >= 2);
});

test('wrong credentials are unauthenticated and leave nothing', async (t) => {
  await using at = await setUp();
  guard(at.registry, 1000);
  const error = await t.throwsAsync(pullAs(at, 'me', 'wrong'));
  t.is((error as BerthError).code, 'unauthenticated');
  t.deepEqual(await at.world.content(), []);
});

test('basic credentials are sent only after the registry asks', async (t) => {
  await using at = await setUp();
  const basic = `Basic ${Buffer.from('me:secret').toString('base64')}`;
  at.registry.behave((request, response, next) => {
    if (request.headers.authorization === basic) return next();
    response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
  });
  t.is(await pullAs(at, 'me', 'secret'), two.id);
  t.is(at.registry.requests[0]?.authorization, undefined);
});

test('CVE-2020-15157: a redirect to another host gets no credentials', async (t) => {
  await using at = await setUp();
  await using storage = await startTestRegistry();
  storage.add('1', two);
  const basic = `Basic ${Buffer.from('me:secret').toString('base64')}`;
  at.registry.behave((request, response, next) => {
    if (request.headers.authorization !== basic)
      return void response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    if (!isBlob(request)) return next();
    response.writeHead(307, { location: `http://${storage.host}${request.url}` }).end();
  });
  t.is(await pullAs(at, 'me', 'secret'), two.id);
  t.true(storage.requests.length >= 3);
  t.true(storage.requests.every(({ authorization }) => authorization === undefined));
});

test('CVE-2020-15157: a redirect to a host that asks for credentials fails without showing them', async (t) => {
  await using at = await setUp();
  await using storage = await startTestRegistry();
  storage.behave((_request, response) => {
    response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${storage.host}/token"` }).end();
  });
  const basic = `Basic ${Buffer.from('me:secret').toString('base64')}`;
  at.registry.behave((request, response, next) => {
    if (request.headers.authorization !== basic)
      return void response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
    if (!isBlob(request)) return next();
    response.writeHead(307, { location: `http://${storage.host}${request.url}` }).end();
  });
  const error = await t.throwsAsync(pullAs(at, 'me', 'secret'));
  t.is((error as BerthError).code, 'unauthenticated');
  t.true(storage.requests.every(({ authorization, path }) => authorization === undefined && !path.includes('token')));
});

test('progress tells each layer from 0 to its size', async (t) => {
  await using at = await setUp();
  const events: string[] = [];
  const last = new Map<string, number>();
  await at.world.images.pull(`${at.registry.host}/app:2`, undefined, {
    signal: never,
    progress: ({ digest, offset, total, phase }) => {
      events.push(phase);
      t.true(offset >= (last.get(digest) ?? 0) && offset <= total);
      last.set(digest, offset);
    },
  });
  t.deepEqual(last, new Map([base, upper].map(({ digest, blob }) => [digest, blob.length])));
  t.is(events[0], 'waiting');
  t.is(events.at(-1), 'done');
});

/** Not on a file system that is mounted with noatime. */
const showsReads = async (path: string): Promise<boolean> => {
  await writeFile(path, 'x');
  await sleep(20);
  await readFile(path);
  const { atimeNs, mtimeNs } = await stat(path, { bigint: true });
  return atimeNs > mtimeNs;
};

test('nothing that a pull has written is read again', async (t) => {
  const plain = tar([{ name: 'upper', data: 'plain' }]);
  const layers = [
    base,
    { ...upper, blob: plain, digest: sha256(plain), diffId: sha256(plain), mediaType: mediaTypes.plainLayer },
  ];
  await using at = await openWithRegistry({ 1: image(layers, {}) });
  if (!(await showsReads(join(at.world.root, 'probe')))) {
    t.log('this file system keeps no times of reading: nothing can be shown on it');
    return t.pass();
  }
  const id = await pull(at.world, at.registry);
  const blobs = layers.map(({ digest }) => join(at.world.root, 'images/blobs/sha256', digest.slice(7)));
  const [high = '', low = ''] = at.world.images.layersOf(id).lowers;
  const times = (path: string) => stat(path, { bigint: true });
  for (const path of blobs) t.true(await times(path).then(({ atimeNs, mtimeNs }) => atimeNs <= mtimeNs), path);
  // The unpacker sets all times of a file when it has written it.
  const files = [join(low, 'etc/file'), join(high, 'upper')];
  for (const path of files) t.true(await times(path).then(({ atimeNs, ctimeNs }) => atimeNs <= ctimeNs), path);
  await sleep(20);
  for (const path of [...blobs, ...files]) {
    await readFile(path);
    const { atimeNs, mtimeNs, ctimeNs } = await times(path);
    t.true(atimeNs > mtimeNs && atimeNs > ctimeNs, `a reader of ${path} is seen here`);
  }
});

test('zstd and plain layers are unpacked as gzip ones are', async (t) => {
  await using at = await setUp();
  const plain = tar([{ name: 'file', data: content }]);
  for (const [tag, blob] of [
    ['zstd', zstdCompressSync(plain)],
    ['plain', plain],
  ] as const) {
    const made = image([{ diffId: sha256(plain), digest: sha256(blob), blob }], { Cmd: [tag] });
    at.registry.add(tag, made);
    t.is(await pull(at.world, at.registry, tag), made.id);
    await at.world.images.remove(made.id);
  }
});

test('the best platform of an index is chosen, attestations and nested indexes passed through', async (t) => {
  await using at = await setUp();
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const inner = json({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [one.manifest] });
  const attestation = {
    ...two.manifest,
    platform: { os: 'unknown', architecture: 'unknown' },
    annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
  };
  const nested = { mediaType: mediaTypes.index, size: inner.length, digest: sha256(inner) };
  const other = { ...two.manifest, platform: { os: 'linux', architecture: 'riscv64' } };
  const outer = json({ schemaVersion: 2, mediaType: mediaTypes.index, manifests: [attestation, other, nested] });
  at.registry.put('app/manifests/multi', mediaTypes.index, outer);
  at.registry.put(`app/manifests/${sha256(inner)}`, mediaTypes.index, inner);
  t.is(await pull(at.world, at.registry, 'multi'), one.id);
  t.deepEqual(at.world.images.resolve(one.id)?.repoDigests, [`${at.registry.host}/app@${sha256(outer)}`]);
});

test('with keep_blobs off no compressed layer stays', async (t) => {
  await using registry = await startTestRegistry();
  await using world = await openWorld({ images: { ...testSettings, keepBlobs: false } });
  registry.add('1', one);
  await pull(world, registry);
  const blobs = (await world.content()).filter((path) => path.startsWith('blobs/'));
  t.deepEqual(blobs, [one.id, one.manifest.digest].map((digest) => `blobs/${digest.replace(':', '/')}`).toSorted());
});

const loseLayers = async (world: ImageWorld): Promise<ImageWorld> => {
  await rm(join(world.root, 'images/layers'), { recursive: true });
  return world.reopen();
};

for (const [parallelLayers, how] of [
  [4, 'is fetching'],
  [1, 'has fetched when its turn comes'],
] as const)
  test(`a pull that begins after keep_blobs was set has its blobs, also of a layer that an earlier pull ${how}`, async (t) => {
    const settings = { ...testSettings, parallelLayers };
    await using registry = await startTestRegistry();
    await using world = await openWorld({ images: { ...settings, keepBlobs: false } });
    for (const [tag, made] of Object.entries({ 1: one, 2: two })) registry.add(tag, made);
    const isAsked = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    registry.behave((request, _response, next) => {
      if (!isBlob(request) || !request.url?.endsWith(base.digest)) return next();
      isAsked.resolve();
      void goOn.promise.then(next);
    });
    const before = pull(world, registry, '1');
    await isAsked.promise;
    (await world.images.prepare(testRegistrySettings, settings))();
    const after = pull(world, registry, '2');
    await sleep(100);
    goOn.resolve();
    t.deepEqual(await Promise.all([before, after]), [one.id, two.id]);
    const blobs = (await world.content()).filter((path) => path.startsWith('blobs/'));
    for (const { digest } of [base, upper])
      t.true(blobs.includes(`blobs/${digest.replace(':', '/')}`), blobs.join(' '));
  });

test('a layer that is lost is unpacked from its kept blob', async (t) => {
  await using at = await setUp();
  await pull(at.world, at.registry);
  await using world = await loseLayers(at.world);
  t.deepEqual(world.images.list(), []);
  t.is(await pull(world, at.registry), one.id);
  t.is(blobRequests(at.registry, base.digest), 1);
});

test('a kept blob that went bad on disk is fetched again', async (t) => {
  await using at = await setUp();
  await pull(at.world, at.registry);
  const blob = join(at.world.root, 'images/blobs', base.digest.replace(':', '/'));
  const bytes = await readFile(blob);
  await writeFile(blob, bytes.subarray(0, 1000));
  await using world = await loseLayers(at.world);
  t.is(await pull(world, at.registry), one.id);
  t.is(blobRequests(at.registry, base.digest), 2);
  t.deepEqual(await readFile(blob), bytes);
});

test('a layer without its parents gets their attributes by a fix-up layer above it', async (t) => {
  await using at = await setUp();
  const bare = layer([{ name: 'tmp/new', data: 'x' }]);
  at.registry.add('bare', image([base, bare], {}));
  const id = await pull(at.world, at.registry, 'bare');
  const { lowers } = await at.world.images.mounts(id, 'c'.repeat(64));
  t.is(lowers.length, 3);
  t.regex(lowers[0] ?? '', /fixups/);
  t.is((await stat(join(lowers[0] ?? '', 'tmp'))).mode & 0o7777, 0o1777);
});

test('a file is read out of the merged layers', async (t) => {
  await using at = await setUp();
  const id = await pull(at.world, at.registry, '2');
  t.deepEqual(await at.world.images.readFile(id, '/etc/file', 1 << 20), content);
  t.is(String(await at.world.images.readFile(id, '/upper', 100)), 'up');
  t.is(await at.world.images.readFile(id, '/missing', 100), undefined);
  await t.throwsAsync(at.world.images.readFile(id, '/etc/file', 1000));
  await t.throwsAsync(at.world.images.readFile(sha256('x'), '/etc/file', 1000), { message: /no such image/ });
});

const rejects = async (t: ExecutionContext, action: Promise<unknown>, code: ErrorCode): Promise<void> => {
  const error = await t.throwsAsync(action);
  t.is((error as BerthError).code, code);
};

test('a container id that could leave the directory of leases is refused', async (t) => {
  await using at = await setUp();
  const id = await pull(at.world, at.registry);
  await rejects(t, at.world.images.mounts(id, '../x'), 'invalid-argument');
  await rejects(t, at.world.images.release('../x'), 'invalid-argument');
  await rejects(t, at.world.images.mounts(sha256('x'), 'c1'), 'not-found');
});

/** The image under a manifest that says other sizes of its blobs; nothing else of it is wrong. */
const lying = (of: Image, about: 'config' | 'layers'): Image => {
  const text = of.blobs.get(of.manifest.digest)?.toString() ?? '';
  const manifest = JSON.parse(text) as { config: { size: number }; layers: { size: number }[] };
  for (const descriptor of about === 'config' ? [manifest.config] : manifest.layers) descriptor.size += 1;
  const body = Buffer.from(JSON.stringify(manifest));
  const digest = sha256(body);
  return { ...of, manifest: { ...of.manifest, digest, size: body.length }, blobs: new Map(of.blobs).set(digest, body) };
};

test('a manifest with a wrong size of what is here already is refused, and what is here stays', async (t) => {
  await using at = await setUp();
  await at.pull('1');
  const before = await at.world.content();
  for (const about of ['config', 'layers'] as const) {
    at.registry.add(about, lying(one, about));
    await t.throwsAsync(at.pull(about), { message: /has \d+ bytes, its descriptor says \d+/ });
    t.deepEqual(await at.world.content(), before);
  }
  at.registry.add('new', lying(image([base], { Cmd: ['new'] }), 'layers'));
  await t.throwsAsync(at.pull('new'), { message: /has \d+ bytes, its descriptor says \d+/ });
  t.deepEqual(await at.world.content(), before);
});
