import { once } from 'node:events';
import { connect as connectSession } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { pino } from 'pino';
import { dir } from 'tmp-promise';
import { BerthError, codeOf, messageOf } from '../base/errors.ts';
import { type Client, connect } from './client.ts';
import { encodeMessage } from './encoded.ts';
import { Feed, Frame, type Sink } from './feed.ts';
import { serve } from './server.ts';

/** A daemon whose only call is fed by `run`. */
const withFeed = async (
  run: (sink: Sink, signal: AbortSignal) => Promise<void>,
  action: (client: Client) => Promise<void>,
): Promise<void> => {
  const { path, cleanup } = await dir({ prefix: 'berth-feed-', unsafeCleanup: true });
  const address = `unix://${join(path, 's.sock')}`;
  const handlers = {
    GetContainerEvents: (_: unknown, { signal }: { signal: AbortSignal }) => new Feed((sink) => run(sink, signal)),
  };
  const server = await serve(handlers, { address, log: pino({ enabled: false }), ready: () => true });
  const client = connect(address);
  try {
    await action(client);
  } finally {
    client.close();
    await server.close(100);
    await cleanup();
  }
};

const eventOf = (container_id: string): Frame => new Frame(encodeMessage('ContainerEventResponse', { container_id }));

const read = async (client: Client, ids: string[] = []): Promise<string> => {
  try {
    for await (const { container_id } of client.GetContainerEvents({})) ids.push(container_id);
    return 'end';
  } catch (error) {
    return `${codeOf(error)}: ${messageOf(error)}`;
  }
};

test('what a feed writes comes in order, one frame to several clients, and its end or its error after it', (t) => {
  const frames = Array.from({ length: 500 }, (_, i) => eventOf(`${i}`));
  let calls = 0;
  const run = async (sink: Sink): Promise<void> => {
    calls += 1;
    const own = calls;
    for (const frame of frames) sink.write(frame);
    if (own === 2) throw new BerthError('resource-exhausted', 'too slow');
  };
  return withFeed(run, async (client) => {
    const [first, second, third] = [[], [], []] as string[][];
    t.is(await read(client, first), 'end');
    t.is(await read(client, second), 'resource-exhausted: too slow');
    t.is(await read(client, third), 'end');
    for (const ids of [first, second, third])
      t.deepEqual(
        ids,
        frames.map((_, i) => `${i}`),
      );
  });
});

test('a client that does not read stops the feed, and gets the rest when it reads again', (t) => {
  const count = 500;
  let written = 0;
  const run = async (sink: Sink): Promise<void> => {
    let drained = Promise.withResolvers<void>();
    sink.onDrain(() => drained.resolve());
    for (; written < count; written += 1) {
      drained = Promise.withResolvers();
      if (!sink.write(eventOf(`${written}${' '.repeat(1 << 16)}`))) await drained.promise;
    }
  };
  return withFeed(run, async (client) => {
    const events = client.GetContainerEvents({})[Symbol.asyncIterator]();
    t.regex((await events.next()).value.container_id, /^0 /);
    for (let before = -1; before < written; await sleep(200)) before = written;
    t.true(written < count / 2, `${written} of ${count} written`);
    for (let i = 1; i < count; i += 1) t.is(Number.parseInt((await events.next()).value.container_id, 10), i);
    t.true((await events.next()).done);
  });
});

test('a client that goes ends the feed, and what is written to it then is dropped', async (t) => {
  const outcome = Promise.withResolvers<readonly boolean[]>();
  const run = (sink: Sink, signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      const taken = sink.write(eventOf('first'));
      signal.addEventListener('abort', () => {
        outcome.resolve([taken, sink.write(eventOf('late'))]);
        resolve();
      });
    });
  await withFeed(run, async (client) => {
    for await (const { container_id } of client.GetContainerEvents({})) {
      t.is(container_id, 'first');
      break;
    }
    t.deepEqual(await outcome.promise, [true, false]);
    t.is((await client.Version({}).catch((error: unknown) => codeOf(error))) as unknown, 'unimplemented');
  });
});

test('a client that never reads keeps no server from closing', async (t) => {
  const { path, cleanup } = await dir({ prefix: 'berth-feed-', unsafeCleanup: true });
  const socket = join(path, 's.sock');
  const begun = Promise.withResolvers<void>();
  const run = (sink: Sink, signal: AbortSignal): Promise<void> => {
    while (sink.write(eventOf('x'.repeat(1 << 14))));
    begun.resolve();
    return once(signal, 'abort').then(() => signal.throwIfAborted());
  };
  const handlers = {
    GetContainerEvents: (_: unknown, { signal }: { signal: AbortSignal }) => new Feed((sink) => run(sink, signal)),
  };
  const options = { address: `unix://${socket}`, log: pino({ enabled: false }), ready: () => true };
  const server = await serve(handlers, options);
  const session = connectSession('http://localhost', { createConnection: () => connectSocket(socket) });
  session.on('error', () => undefined);
  const headers = { ':method': 'POST', ':path': '/runtime.v1.RuntimeService/GetContainerEvents' };
  const stream = session.request({ ...headers, 'content-type': 'application/grpc', te: 'trailers' });
  stream.on('error', () => undefined).end(Buffer.alloc(5));
  await begun.promise;
  const outcome = await Promise.race([server.close(50).then(() => 'closed'), sleep(20_000, 'open', { ref: false })]);
  session.destroy();
  t.is(outcome, 'closed');
  await cleanup();
});
