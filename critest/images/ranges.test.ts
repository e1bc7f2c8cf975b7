import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import test from 'ava';
import { image, layer } from '../harness/image.ts';
import { cut, startTestRegistry, type TestRegistry } from '../harness/own-registry.ts';
import { type ImageWorld, openWorld } from './world.ts';

const never = new AbortController().signal;
const big = layer([{ name: 'big', data: randomBytes(1 << 20) }]);
const small = layer([{ name: 'small', data: randomBytes(1000) }]);
const made = image([small, big], {});
const pieceBytes = 64 << 10;
const ranges = { connections: 4, leastBytes: 256 << 10, pieceBytes, windowBytes: 4 * pieceBytes };

interface Setup extends AsyncDisposable {
  readonly registry: TestRegistry;
  readonly world: ImageWorld;
  /** Requests for the large layer that were open at once. */
  most(): number;
  asked(): (string | undefined)[];
  pull(): Promise<string>;
}

/** A registry that knows ranges with an end, each answer held up for a moment so that they meet. */
const setUp = async (answer = ranged, stallSeconds = 20): Promise<Setup> => {
  const registry = await startTestRegistry();
  registry.add('1', made);
  let [open, most] = [0, 0];
  registry.behave((request, response, next) => {
    if (!request.url?.endsWith(big.digest)) return next();
    open += 1;
    most = Math.max(most, open);
    response.once('close', () => {
      open -= 1;
    });
    setTimeout(() => answer(request, response), 5);
  });
  const world = await openWorld({ registry: { plainHttp: ['127.0.0.1'], configPath: [], stallSeconds, ranges } });
  return {
    registry,
    world,
    most: () => most,
    asked: () => registry.requests.filter(({ path }) => path.endsWith(big.digest)).map(({ range }) => range),
    pull: () => world.images.pull(`${registry.host}/app:1`, undefined, { signal: never }),
    [Symbol.asyncDispose]: async () => {
      await world[Symbol.asyncDispose]();
      await registry[Symbol.asyncDispose]();
    },
  };
};

const ranged = (request: IncomingMessage, response: ServerResponse): void => {
  const { length } = big.blob;
  const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const begin = Number(match?.[1] ?? 0);
  const end = match?.[2] ? Number(match[2]) + 1 : length;
  const range = match === null ? {} : { 'content-range': `bytes ${begin}-${end - 1}/${length}` };
  response.writeHead(match === null ? 200 : 206, { 'content-length': end - begin, ...range });
  response.end(big.blob.subarray(begin, end));
};

test('a large layer comes in pieces over several connections, a small one whole', async (t) => {
  await using setup = await setUp();
  t.is(await setup.pull(), made.id);
  t.is(setup.asked().length, Math.ceil(big.blob.length / pieceBytes));
  t.is(new Set(setup.asked()).size, setup.asked().length);
  t.true(setup.most() > 1 && setup.most() <= 4, `${setup.most()} at once`);
  const whole = setup.registry.requests.filter(({ path }) => path.endsWith(small.digest));
  t.deepEqual(
    whole.map(({ range }) => range),
    [undefined],
  );
});

test('a registry that takes one request at a time gives the layer in one stream', async (t) => {
  let open = 0;
  await using setup = await setUp((request, response) => {
    open += 1;
    response.once('close', () => {
      open -= 1;
    });
    if (open > 1) response.writeHead(429).end();
    else ranged(request, response);
  });
  t.is(await setup.pull(), made.id);
  t.regex(setup.asked().at(-1) ?? '', /^bytes=\d+-$/);
});

test('pieces that stall or are cut are asked for again from where they were', async (t) => {
  let failures = 0;
  await using setup = await setUp((request, response) => {
    failures += 1;
    if (![3, 6, 9].includes(failures)) return ranged(request, response);
    const [, begin = '0', last = '0'] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const range = `bytes ${begin}-${last}/${big.blob.length}`;
    response.writeHead(206, { 'content-range': range, 'content-length': Number(last) - Number(begin) + 1 });
    response.write(big.blob.subarray(Number(begin), Number(begin) + 1000));
    if (failures !== 6) cut(response);
  }, 0.5);
  t.is(await setup.pull(), made.id);
  t.true(setup.asked().length >= Math.ceil(big.blob.length / pieceBytes) + 3);
});

test('wrong bytes in one piece are data loss, and nothing is left', async (t) => {
  let count = 0;
  await using setup = await setUp((request, response) => {
    count += 1;
    if (count !== 5) return ranged(request, response);
    const [, begin = '0', last = '0'] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    response.writeHead(206, { 'content-range': `bytes ${begin}-${last}/${big.blob.length}` });
    response.end(randomBytes(Number(last) - Number(begin) + 1));
  });
  await t.throwsAsync(setup.pull(), { message: /layer sha256:/ });
  t.deepEqual(setup.world.images.list(), []);
});
