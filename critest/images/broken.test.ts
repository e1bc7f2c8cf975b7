import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { codeOf } from '../../base/errors.ts';
import { image, layer } from '../harness/image.ts';
import { type Behaviour, isBlob, type TestRegistry } from '../harness/own-registry.ts';
import { until } from '../harness/until.ts';
import { helperWith, type ImageWorld, openWithRegistry, testSettings } from './world.ts';

const noise = (seed: string, length: number): Buffer =>
  createHash('shake256', { outputLength: length }).update(seed).digest();
const layers = ['a', 'b', 'c'].map((name) =>
  layer([
    { name: `${name}/`, type: 'directory' },
    ...Array.from({ length: 40 }, (_, i) => ({ name: `${name}/${i}`, data: noise(`${name}${i}`, 20_000) })),
  ]),
);
const [first = layer([])] = layers;
const whole = image(layers, { Cmd: ['whole'] });
const partial = image(layers.slice(0, 2), { Cmd: ['partial'] });
const never = new AbortController().signal;

const pull = (world: ImageWorld, registry: TestRegistry, tag: string, signal = never) =>
  world.images.pull(`${registry.host}/app:${tag}`, undefined, { signal });

const open = (options: Parameters<typeof openWithRegistry>[1] = {}) => openWithRegistry({ whole, partial }, options);

/** Half of the first layer, and then nothing until the client goes. */
const halfOfFirst: Behaviour = (request, response, next) => {
  if (!request.url?.endsWith(first.digest)) return next();
  response.writeHead(200, { 'content-length': first.blob.length });
  response.write(first.blob.subarray(0, first.blob.length / 2));
};

const childrenOf = async (pid: number): Promise<readonly number[]> => {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return text.trim().split(' ').filter(Boolean).map(Number);
};

const statusOf = (pid: number): Promise<string> => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');

/** The unpackers that run, each with its confined child. */
const unpackers = () => {
  const pids: number[] = [];
  const helper = helperWith((pid, role) => void (role === 'unpack' && pids.push(pid)));
  return { pids, helper };
};

/** The processes that a layer goes through, from the one that the agent starts. */
const victims = {
  'the unpacker': async (unpacker: number) => unpacker,
  'its confined child': async (unpacker: number) => (await childrenOf(unpacker))[1],
  'its decompressor': async (unpacker: number) => (await childrenOf(unpacker))[0],
  'the confined child of its decompressor': async (unpacker: number) =>
    (await childrenOf((await childrenOf(unpacker))[0] ?? 0))[0],
} as const;

const killed = async (t: ExecutionContext, whom: keyof typeof victims): Promise<void> => {
  const { pids, helper } = unpackers();
  // The registry says nothing more for longer than the test may take: the end of the process is what is noticed.
  const registry = { configPath: [], plainHttp: ['127.0.0.1'], stallSeconds: 300 };
  await using at = await open({ helper, registry, images: { ...testSettings, parallelLayers: 1 } });
  await pull(at.world, at.registry, 'partial');
  await at.world.images.remove(partial.id);
  const before = await at.world.content();
  at.registry.behave(halfOfFirst);
  pids.length = 0;
  const failing = t.throwsAsync(pull(at.world, at.registry, 'whole'), { message: /signal 9/ });
  const all = await until('all processes are there', async () => {
    const found = await Promise.all(Object.values(victims).map((find) => find(pids[0] ?? 0)));
    return found.every((pid) => pid !== undefined && pid > 0) ? found : undefined;
  });
  await sleep(30);
  process.kill((await victims[whom](pids[0] ?? 0)) ?? Number.NaN, 'SIGKILL');
  t.is(codeOf(await failing), 'internal');
  t.deepEqual(await at.world.content(), before);
  // Of a process that nobody waits for the name may stay.
  await until('all processes have gone', async () =>
    (await Promise.all(all.map((pid) => statusOf(pid ?? 0)))).every((status) => !/^\d+ \(.*\) [^Z]/.test(status)),
  );
  at.registry.behave((_request, _response, next) => next());
  t.is(await pull(at.world, at.registry, 'whole'), whole.id);
};

for (const whom of Object.keys(victims) as (keyof typeof victims)[])
  test(`kill -9 of ${whom} in the middle of a pull leaves nothing, and the next pull works`, (t) => killed(t, whom));

const rounds = 12;

test('aborts at random moments leave the store as it was or the image whole', async (t) => {
  await using at = await open();
  let quickest = Number.POSITIVE_INFINITY;
  const timed = async (signal?: AbortSignal): Promise<void> => {
    const begun = performance.now();
    await pull(at.world, at.registry, 'whole', signal);
    quickest = Math.min(quickest, performance.now() - begun);
  };
  await timed();
  await at.world.images.remove(whole.id);
  const before = await at.world.content();
  let aborted = 0;
  for (let round = 0; round < rounds || (aborted < 3 && round < 10 * rounds); round += 1) {
    const caller = new AbortController();
    const timer = setTimeout(() => caller.abort(), Math.random() * quickest * 1.2);
    const error = await timed(caller.signal).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    clearTimeout(timer);
    if (error !== undefined) {
      aborted += 1;
      t.is(codeOf(error), 'cancelled', String(error));
      t.deepEqual(at.world.images.list(), []);
      t.deepEqual(await at.world.content(), before, `round ${round}, aborted`);
    }
    await at.world.images.remove(whole.id);
    t.deepEqual(await at.world.content(), before, `round ${round}`);
  }
  t.true(aborted > 2, `${aborted} were aborted in time`);
  t.is(await pull(at.world, at.registry, 'whole'), whole.id);
});

test('of twenty callers of one pull nineteen may go, and the last gets the image, fetched once', async (t) => {
  await using at = await open();
  const others = Promise.withResolvers<void>();
  at.registry.behave((request, _response, next) => (isBlob(request) ? void others.promise.then(next) : next()));
  const callers = Array.from({ length: 20 }, () => new AbortController());
  const pulls = callers.map(({ signal }) => pull(at.world, at.registry, 'whole', signal));
  const settled = Promise.allSettled(pulls);
  for (const caller of callers.slice(1)) {
    await sleep(5);
    caller.abort();
  }
  others.resolve();
  const [kept, ...gone] = await settled;
  t.deepEqual(kept, { status: 'fulfilled', value: whole.id });
  t.deepEqual(
    gone.map((result) => result.status === 'rejected' && codeOf(result.reason)),
    gone.map(() => 'cancelled'),
  );
  for (const { digest } of layers)
    t.is(at.registry.requests.filter(({ path }) => path.endsWith(digest)).length, 1, digest);
});

test('when all twenty callers of one pull go nothing is left', async (t) => {
  await using at = await open();
  at.registry.behave(halfOfFirst);
  const callers = Array.from({ length: 20 }, () => new AbortController());
  const settled = Promise.allSettled(callers.map(({ signal }) => pull(at.world, at.registry, 'whole', signal)));
  await sleep(200);
  for (const caller of callers) caller.abort();
  t.true((await settled).every(({ status }) => status === 'rejected'));
  t.deepEqual(await at.world.content(), []);
});

test('an image whose pull shares layers with an aborted one gets them, fetched once', async (t) => {
  await using at = await open();
  const held = Promise.withResolvers<void>();
  at.registry.behave((request, _response, next) =>
    request.url?.endsWith(first.digest) ? void held.promise.then(next) : next(),
  );
  const caller = new AbortController();
  const going = pull(at.world, at.registry, 'whole', caller.signal);
  const hasAsked = () => at.registry.requests.some(({ path }) => path.endsWith(first.digest));
  await until('the shared layer is asked for', hasAsked);
  const staying = pull(at.world, at.registry, 'partial');
  await until('the other has its manifest', () => at.registry.requests.some(({ path }) => path.endsWith(partial.id)));
  await sleep(50);
  caller.abort();
  await t.throwsAsync(going);
  held.resolve();
  t.is(await staying, partial.id);
  await at.world.images.collect();
  t.is(at.registry.requests.filter(({ path }) => path.endsWith(first.digest)).length, 1);
  t.is((await at.world.content()).filter((path) => path.startsWith('layers/')).length, 2);
});

test('with keep_blobs off a repeated pull fetches no layer, and removing leaves nothing', async (t) => {
  await using at = await open({ images: { ...testSettings, keepBlobs: false } });
  await pull(at.world, at.registry, 'whole');
  const requests = at.registry.requests.length;
  t.is(await pull(at.world, at.registry, 'whole'), whole.id);
  t.is(await pull(at.world, at.registry, 'partial'), partial.id);
  const digests = layers.map(({ digest }) => digest);
  t.false(at.registry.requests.slice(requests).some(({ path }) => digests.some((digest) => path.endsWith(digest))));
  for (const { id } of [whole, partial]) await at.world.images.remove(id);
  t.deepEqual(await at.world.content(), []);
});
