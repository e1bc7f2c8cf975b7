import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { sha256 } from '../../base/digest.ts';
import { Parts } from '../../images/blobs/parts.ts';
import { BlobStore } from '../../images/blobs/store.ts';
import { Paths } from '../../images/paths.ts';
import { fetchLayer } from '../../images/pull/fetch-layer.ts';
import type { LayerJob, LayerTools } from '../../images/pull/layer.ts';
import type { Source } from '../../images/source.ts';
import { image, layer } from '../harness/image.ts';
import { type Behaviour, cut, startTestRegistry, type TestRegistry } from '../harness/own-registry.ts';
import { type ImageWorld, openWorld, testSettings } from './world.ts';

const never = new AbortController().signal;
const log = { debug: () => undefined, info: () => undefined, warn: () => undefined };
/** Does not compress, so that half of the blob is half of the file. */
const big = layer([{ name: 'big', data: randomBytes(3 << 20) }]);
const made = image([big], {});
const half = big.blob.length >> 1;

/** Sends the first half of the layer, then stalls or closes; anything else is as it should be. */
const halfOf =
  (bytes: Buffer, then: 'stall' | 'close' = 'close'): Behaviour =>
  (request, response, next) => {
    if (!request.url?.endsWith(big.digest) || request.headers.range !== undefined) {
      if (request.url?.endsWith(big.digest)) response.destroy();
      else next();
      return;
    }
    response.writeHead(200, { 'content-length': bytes.length }).write(bytes.subarray(0, half));
    if (then === 'close') cut(response);
  };
const well: Behaviour = (_request, _response, next) => next();

interface Setup extends AsyncDisposable {
  readonly registry: TestRegistry;
  readonly world: ImageWorld;
  /** What is kept of blobs. */
  parts(): Promise<string[]>;
  pull(signal?: AbortSignal): Promise<string>;
  ranges(): (string | undefined)[];
}

const setUp = async (settings = testSettings): Promise<Setup> => {
  const registry = await startTestRegistry();
  registry.add('1', made);
  const world = await openWorld({ images: settings });
  return at(registry, world);
};
const at = (registry: TestRegistry, world: ImageWorld): Setup => ({
  registry,
  world,
  parts: () => readdir(join(world.root, 'images/partial')),
  pull: (signal = never) => world.images.pull(`${registry.host}/app:1`, undefined, { signal }),
  ranges: () => registry.requests.filter(({ path }) => path.endsWith(big.digest)).map(({ range }) => range),
  [Symbol.asyncDispose]: async () => {
    await world[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
  },
});
const isWhole = async ({ world }: Setup): Promise<boolean> =>
  (await readFile(join(world.root, 'images/blobs', big.digest.replace(':', '/')))).equals(big.blob);

test('what came of a layer that was cut is kept, and the next pull goes on behind it', async (t) => {
  await using setup = await setUp();
  setup.registry.behave(halfOf(big.blob));
  await t.throwsAsync(setup.pull(), { message: /cannot be reached/ });
  const [name = '', ...more] = await setup.parts();
  t.deepEqual(more, []);
  const [digest, size] = name.split('.');
  t.is(digest, big.digest.replace(':', '-'));
  setup.registry.behave(well);
  t.is(await setup.pull(), made.id);
  t.is(setup.ranges().at(-1), `bytes=${size}-`);
  t.deepEqual(await setup.parts(), []);
  t.true(await isWhole(setup));
});

test('what came before a cancellation is kept, also over a restart', async (t) => {
  await using setup = await setUp();
  setup.registry.behave(halfOf(big.blob, 'stall'));
  const abort = new AbortController();
  const pulling = setup.world.images.pull(`${setup.registry.host}/app:1`, undefined, {
    signal: abort.signal,
    progress: ({ offset }) => {
      if (offset === half) abort.abort();
    },
  });
  await t.throwsAsync(pulling);
  t.is((await setup.parts()).length, 1);
  setup.registry.behave(well);
  await using again = at(setup.registry, await setup.world.reopen());
  t.is(await again.pull(), made.id);
  t.is(again.ranges().at(-1), `bytes=${half}-`);
  t.true(await isWhole(again));
});

test('a part that has changed on disk is dropped, and the layer fetched whole', async (t) => {
  await using setup = await setUp();
  setup.registry.behave(halfOf(big.blob));
  await t.throwsAsync(setup.pull());
  const [name = ''] = await setup.parts();
  const path = join(setup.world.root, 'images/partial', name);
  const bytes = await readFile(path);
  bytes[1000] = (bytes[1000] ?? 0) ^ 1;
  await writeFile(path, bytes);
  setup.registry.behave(well);
  t.is(await setup.pull(), made.id);
  t.is(setup.ranges().at(-1), undefined);
  t.true(setup.world.warnings.some((line) => line.includes('has changed on disk')));
  t.deepEqual(await setup.parts(), []);
});

test('a part of wrong bytes is used once: the layer is fetched whole after it', async (t) => {
  await using setup = await setUp();
  const wrong = Buffer.from(big.blob);
  wrong[1000] = (wrong[1000] ?? 0) ^ 1;
  setup.registry.behave(halfOf(wrong));
  await t.throwsAsync(setup.pull());
  const [size] = (await setup.parts()).map((name) => name.split('.')[1]);
  setup.registry.behave(well);
  t.is(await setup.pull(), made.id);
  t.deepEqual(setup.ranges().slice(-2), [`bytes=${size}-`, undefined]);
  t.deepEqual(await setup.parts(), []);
  t.true(await isWhole(setup));
});

test('a layer that was wrong to its end leaves no part', async (t) => {
  await using setup = await setUp();
  setup.registry.put(`app/blobs/${big.digest}`, 'x', Buffer.alloc(big.blob.length));
  await t.throwsAsync(setup.pull());
  t.deepEqual(await setup.parts(), []);
  setup.registry.behave((request, response, next) => {
    if (request.url?.endsWith(big.digest)) response.writeHead(200).end(big.blob.subarray(0, half));
    else next();
  });
  await t.throwsAsync(setup.pull(), { message: /ends after/ });
  t.deepEqual(await setup.parts(), []);
});

test('a few bytes are no part, and without kept blobs there is none', async (t) => {
  const small: Behaviour = (request, response, next) => {
    if (!request.url?.endsWith(big.digest)) return next();
    response.writeHead(200, { 'content-length': big.blob.length }).write(big.blob.subarray(0, 1000));
    cut(response);
  };
  await using setup = await setUp();
  setup.registry.behave(small);
  await t.throwsAsync(setup.pull());
  t.deepEqual(await setup.parts(), []);
  await using bare = await setUp({ ...testSettings, keepBlobs: false });
  bare.registry.behave(halfOf(big.blob));
  await t.throwsAsync(bare.pull());
  t.deepEqual(await bare.parts(), []);
});

test('a prune takes the parts, a removal of an image leaves them', async (t) => {
  await using setup = await setUp();
  setup.registry.behave(halfOf(big.blob));
  await t.throwsAsync(setup.pull());
  await setup.world.images.collect();
  t.is((await setup.parts()).length, 1);
  t.is((await setup.world.images.disk(never)).partial.count, 1);
  for await (const _ of setup.world.images.prune({ garbageOnly: true, before: Date.now(), signal: never }));
  t.is((await setup.parts()).length, 1);
  for await (const _ of setup.world.images.prune({ garbageOnly: false, before: 0, signal: never }));
  t.deepEqual(await setup.parts(), []);
});

test('parts are bounded in number of bytes and in age, the oldest go first', async (t) => {
  await using setup = await setUp();
  const paths = new Paths(join(setup.world.root, 'apart'));
  for (const directory of paths.directories) await mkdir(directory, { recursive: true });
  const garbage: string[] = [];
  const bin = { add: (path: string) => void garbage.push(path) };
  const limits = { leastBytes: 10, mostBytes: 250, longestMs: 60_000 };
  const parts = await Parts.open(paths, bin, log, limits);
  const [first, second, third] = [sha256('1'), sha256('2'), sha256('3')];
  for (const digest of [first, second, third]) {
    const path = paths.newTemporary('blob');
    await writeFile(path, Buffer.alloc(100));
    await parts.keep(digest, path);
    await new Promise((done) => setTimeout(done, 2));
  }
  t.deepEqual(parts.entries(), [
    { digest: second, bytes: 100 },
    { digest: third, bytes: 100 },
  ]);
  t.is(garbage.length, 1);
  const old = (await readdir(paths.partial)).find((name) => name.includes(second.slice(7))) ?? '';
  await utimes(join(paths.partial, old), 0, 0);
  const opened = await Parts.open(paths, bin, log, limits);
  t.deepEqual(opened.entries(), [{ digest: third, bytes: 100 }]);
  t.is(await opened.take(second, 1000), undefined);
  t.is((await opened.take(third, 1000))?.size, 100);
  t.is(await opened.take(third, 1000), undefined);
  t.deepEqual(await readdir(paths.partial), []);
});

test('when what came cannot be kept, the error is that of the transfer, and nothing is left', async (t) => {
  await using setup = await setUp();
  const before = await setup.world.content();
  setup.registry.behave(halfOf(big.blob));
  await rm(join(setup.world.root, 'images/partial'), { recursive: true });
  await t.throwsAsync(setup.pull(), { message: /cannot be reached/ });
  t.deepEqual(await setup.world.content(), before);
  t.true(setup.world.warnings.includes('what came of a blob cannot be kept'));
});

test('a part that no writer can go on with is a part again', async (t) => {
  await using setup = await setUp();
  const paths = new Paths(join(setup.world.root, 'apart'));
  for (const directory of paths.directories) await mkdir(directory, { recursive: true });
  const bin = { add: () => t.fail() };
  const [parts, blobs] = await Promise.all([Parts.open(paths, bin, log), BlobStore.open(paths, bin)]);
  const path = paths.newTemporary('blob');
  await writeFile(path, big.blob.subarray(0, half));
  await parts.keep(big.digest, path);
  blobs.writer = () => Promise.reject(new Error('too many open files'));
  const source = { blob: () => t.fail(), blobFrom: () => t.fail() } as unknown as Source;
  const job = {
    source,
    descriptor: { ...big, size: big.blob.length, mediaType: '' },
    signal: never,
  } as unknown as LayerJob;
  const tools = { parts, blobs, keepBlobs: true } as unknown as LayerTools;
  await t.throwsAsync(
    fetchLayer(tools, job, async () => {}),
    { message: 'too many open files' },
  );
  t.deepEqual(parts.entries(), [{ digest: big.digest, bytes: half }]);
});
