import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { dir } from 'tmp-promise';
import { BerthError, codeOf } from '../base/errors.ts';
import { type Client, connect } from './client.ts';
import { encode } from './codec.ts';
import { Encoded, encodeItem, joinItems } from './encoded.ts';
import type { Handlers, Log } from './handlers.ts';
import { registry } from './metrics.ts';
import { serve } from './server.ts';

interface Line {
  readonly level: string;
  readonly fields: Record<string, unknown>;
  readonly text: string;
}

const recorder = (): { readonly log: Log; readonly lines: Line[] } => {
  const lines: Line[] = [];
  const at = (level: string) => (fields: unknown, text: unknown) =>
    void lines.push({ level, fields: fields as Record<string, unknown>, text: String(text) });
  return { lines, log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } as Log };
};

interface World {
  readonly client: Client;
  readonly address: string;
  readonly path: string;
  readonly lines: Line[];
}

const withServer = async (handlers: Handlers, action: (world: World) => Promise<void>, ready = () => true) => {
  const { path: directory, cleanup } = await dir({ prefix: 'berth-api-', unsafeCleanup: true });
  const path = join(directory, 's/berth.sock');
  const address = `unix://${path}`;
  const { log, lines } = recorder();
  const server = await serve(handlers, { address, log, ready });
  const client = connect(address);
  try {
    await action({ client, address, path, lines });
  } finally {
    client.close();
    await server.close(100);
    await cleanup();
  }
};

const failure = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise;
  } catch (error) {
    return error instanceof BerthError ? `${error.code}: ${error.message}` : String(error);
  }
  return 'no error';
};

/** One raw HTTP/2 request, without any gRPC library: its trailers and the message's bytes. */
const raw = async (path: string, rpc: string, body: Buffer, headers: Record<string, string> = {}) => {
  const session: ClientHttp2Session = connectHttp2('http://localhost', { createConnection: () => connectSocket(path) });
  try {
    const stream = session.request({
      ':method': 'POST',
      ':path': rpc,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    let trailers: Record<string, unknown> = {};
    stream.on('response', (received) => Object.assign(trailers, received));
    stream.on('trailers', (received) => {
      trailers = { ...trailers, ...received };
    });
    stream.end(body);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    return {
      status: Number(trailers['grpc-status']),
      message: String(trailers['grpc-message']),
      body: Buffer.concat(chunks),
    };
  } finally {
    session.destroy();
  }
};

const framed = (message: Uint8Array): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
};

const version = {
  Version: async () => ({ version: '0.1.0', runtime_name: 'berth', runtime_api_version: 'v1' }),
} satisfies Handlers;

test('the paths on the wire are /runtime.v1.RuntimeService/… and /runtime.v1.ImageService/…', (t) =>
  withServer({ ...version, ListImages: async () => ({}) }, async ({ path }) => {
    const answer = await raw(path, '/runtime.v1.RuntimeService/Version', framed(encode('VersionRequest', {})));
    t.is(answer.status, 0);
    t.deepEqual(answer.body, framed(encode('VersionResponse', await version.Version())));
    t.is((await raw(path, '/runtime.v1.ImageService/ListImages', framed(Buffer.alloc(0)))).status, 0);
    t.is((await raw(path, '/runtime.v1alpha2.RuntimeService/Version', framed(Buffer.alloc(0)))).status, 12);
  }));

test('an RPC without a handler answers UNIMPLEMENTED and its name', (t) =>
  withServer(version, async ({ client }) => {
    t.regex(await failure(client.CheckpointContainer({})), /^unimplemented: CheckpointContainer: not implemented/);
    const events = client.GetContainerEvents({})[Symbol.asyncIterator]();
    t.regex(await failure(Promise.resolve(events.next())), /^unimplemented: GetContainerEvents: not implemented/);
  }));

test('until it is ready every call answers UNAVAILABLE "berthd is starting"', async (t) => {
  let ready = false;
  await withServer(
    version,
    async ({ client }) => {
      t.is(await failure(client.Version({})), 'unavailable: berthd is starting');
      ready = true;
      t.is((await client.Version({})).runtime_name, 'berth');
    },
    () => ready,
  );
});

test('messages of 15 MiB go both ways, more than 16 MiB is refused either way', (t) =>
  withServer(
    { ExecSync: async ({ cmd }) => ({ stdout: Buffer.alloc(Number(cmd[0]) - 8, cmd[1]) }) },
    async ({ client }) => {
      const { stdout } = await client.ExecSync({ cmd: [String(15 << 20), 'x'.repeat(15 << 20)] });
      t.is(stdout.length, (15 << 20) - 8);
      t.is(stdout.at(-1), 'x'.charCodeAt(0));
      t.regex(
        await failure(client.ExecSync({ cmd: [String(17 << 20), 'x'] })),
        /^resource-exhausted: ExecSync: the answer has/,
      );
      t.regex(await failure(client.ExecSync({ cmd: ['9', 'x'.repeat(17 << 20)] })), /^resource-exhausted: /);
      t.is((await client.ExecSync({ cmd: ['9', 'x'] })).stdout.length, 1);
    },
  ));

const until = async (done: () => boolean): Promise<void> => {
  for (let look = 0; look < 2000 && !done(); look += 1) await sleep(10);
};

/** Calls that have begun end when they are aborted. */
const waiting = (reasons: unknown[], begun = Promise.withResolvers<void>()): Handlers => ({
  StopContainer: (_, { signal }) =>
    new Promise((_resolve, reject) => {
      begun.resolve();
      signal.addEventListener('abort', () => {
        reasons.push(signal.reason);
        reject(signal.reason);
      });
    }),
});

test("a client's cancellation reaches the handler's signal", async (t) => {
  const reasons: unknown[] = [];
  const begun = Promise.withResolvers<void>();
  await withServer(waiting(reasons, begun), async ({ client }) => {
    const controller = new AbortController();
    void begun.promise.then(() => controller.abort());
    t.regex(await failure(client.StopContainer({}, { signal: controller.signal })), /^cancelled: /);
    await until(() => reasons.length > 0);
    t.deepEqual(reasons.map(codeOf), ['cancelled']);
  });
});

test("a client's deadline reaches the handler's signal as deadline-exceeded", async (t) => {
  const reasons: unknown[] = [];
  await withServer(waiting(reasons), async ({ client, lines }) => {
    await client.ready(20_000);
    t.regex(await failure(client.StopContainer({ container_id: 'c1' }, { timeoutMs: 1500 })), /^deadline-exceeded: /);
    await until(() => lines.length > 0);
    t.is(codeOf(reasons[0]), 'deadline-exceeded');
    t.like(lines[0], { level: 'warn', fields: { code: 'deadline-exceeded', container_id: 'c1' } });
  });
});

test('a connection that breaks aborts its calls', async (t) => {
  const reasons: unknown[] = [];
  const begun = Promise.withResolvers<void>();
  await withServer(waiting(reasons, begun), async ({ path }) => {
    const session = connectHttp2('http://localhost', { createConnection: () => connectSocket(path) });
    const stream = session.request({
      ':method': 'POST',
      ':path': '/runtime.v1.RuntimeService/StopContainer',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => {});
    stream.end(framed(Buffer.alloc(0)));
    await begun.promise;
    session.destroy();
    await until(() => reasons.length > 0);
    t.deepEqual(reasons.map(codeOf), ['cancelled']);
  });
});

test('garbage requests get a clean status and the server lives', (t) =>
  withServer({ ...version, CreateContainer: async () => ({ container_id: 'x' }) }, async ({ path, client }) => {
    const rpc = '/runtime.v1.RuntimeService/CreateContainer';
    const request = encode('CreateContainerRequest', {
      pod_sandbox_id: 'p'.repeat(64),
      config: { metadata: { name: 'a' }, envs: [{ key: 'K', value: Buffer.from('v') }] },
    });
    for (let round = 0; round < 120; round += 1) {
      const body = Buffer.from(request);
      for (let flip = 0; flip <= round % 4; flip += 1)
        body[(round * 37 + flip * 11) % body.length] = (round * 101 + flip * 53) & 0xff;
      const { status } = await raw(path, rpc, framed(round % 5 === 0 ? body.subarray(0, round % body.length) : body));
      t.true(status === 0 || status === 3, `status ${status} in round ${round}`);
    }
    const truncated = await raw(path, rpc, framed(request.subarray(0, 20)));
    t.is(truncated.status, 3);
    t.is((await client.Version({})).version, '0.1.0');
  }));

test('broken frames, bytes that are not HTTP/2 and bad timeouts leave the server alive', (t) =>
  withServer(version, async ({ path, client }) => {
    const rpc = '/runtime.v1.RuntimeService/Version';
    const huge = Buffer.from([0, 0xff, 0xff, 0xff, 0xff]);
    t.is((await raw(path, rpc, huge)).status, 8);
    t.not((await raw(path, rpc, Buffer.from([9, 0, 0, 0, 1, 0]))).status, 0);
    t.not((await raw(path, rpc, framed(Buffer.alloc(0)), { 'grpc-timeout': 'soon' })).status, 0);
    for (const bytes of [
      'GET / HTTP/1.1\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff',
      '\0'.repeat(4096),
    ]) {
      const socket = connectSocket(path);
      socket.on('error', () => {});
      socket.write(bytes, 'latin1');
      await sleep(20);
      socket.destroy();
    }
    t.is((await client.Version({})).version, '0.1.0');
  }));

test('whatever a handler throws becomes one status with a bounded, printable message', async (t) => {
  const causes: unknown[] = [
    new BerthError('not-found', 'container x: not found'),
    new TypeError('a bug'),
    'text',
    undefined,
    new BerthError('internal', `mount: \u001b[31m${'long '.repeat(5000)}the cause`),
  ];
  const handlers: Handlers = {
    RemoveContainer: async ({ container_id }) => {
      throw causes[Number(container_id)];
    },
  };
  await withServer(handlers, async ({ client, lines }) => {
    const answers: string[] = [];
    for (let at = 0; at < causes.length; at += 1)
      answers.push(await failure(client.RemoveContainer({ container_id: String(at) })));
    t.deepEqual(answers.slice(0, 4), [
      'not-found: container x: not found',
      'internal: a bug',
      'internal: text',
      'internal: undefined',
    ]);
    t.regex(answers[4] ?? '', /^internal: mount: \\u\{1b\}\[31mlong .* … .*the cause$/);
    t.true((answers[4] ?? '').length < 2100);
    t.deepEqual(
      lines.map(({ level }) => level),
      ['info', 'error', 'error', 'error', 'error'],
    );
  });
});

test('a response that does not fit its message is an internal error, not a dead server', (t) =>
  withServer({ ...version, RunPodSandbox: async () => ({ pod_sandbox_id: 5 as never }) }, async ({ client }) => {
    t.regex(await failure(client.RunPodSandbox({})), /^internal: encode RunPodSandboxResponse\.pod_sandbox_id/);
    t.is((await client.Version({})).version, '0.1.0');
  }));

test('one log line a call: reads at debug, changes at info, ids in fields and no secrets', (t) =>
  withServer(
    {
      ...version,
      RunPodSandbox: async () => ({ pod_sandbox_id: 'sandbox-1' }),
      PullImage: async () => ({ image_ref: 'sha256:1' }),
    },
    async ({ client, lines }) => {
      await client.Version({});
      await client.RunPodSandbox({ config: { metadata: { name: 'web', namespace: 'ns', uid: 'u1', attempt: 1 } } });
      await client.PullImage({ image: { image: 'a:b' }, auth: { username: 'me', password: 'hidden-word' } });
      t.deepEqual(
        lines.map(({ level, text }) => [level, text]),
        [
          ['debug', 'Version'],
          ['info', 'RunPodSandbox'],
          ['info', 'PullImage'],
        ],
      );
      t.like(lines[1]?.fields, {
        rpc: 'RunPodSandbox',
        name: 'web',
        namespace: 'ns',
        uid: 'u1',
        attempt: 1,
        pod_sandbox_id: 'sandbox-1',
      });
      t.like(lines[2]?.fields, { image: 'a:b', image_ref: 'sha256:1' });
      t.false(JSON.stringify(lines).includes('hidden-word'));
    },
  ));

test('the latency histogram counts each call by RPC and code', (t) =>
  withServer(
    { ...version, PodSandboxStats: async () => Promise.reject(new BerthError('aborted', 'x')) },
    async ({ client }) => {
      await failure(client.PodSandboxStats({}));
      const text = await registry.metrics();
      t.regex(text, /berth_rpc_duration_seconds_count\{method="PodSandboxStats",code="aborted"\} 1\n/);
    },
  ));

test('a handler may answer with bytes that are encoded already', (t) => {
  const items = ['a', 'b'].map((id) => encodeItem('ListContainersResponse', 'containers', { id }));
  return withServer(
    {
      ListContainers: async () => joinItems(items),
      Version: async () => new Encoded(encode('VersionResponse', { version: 'x' })),
    },
    async ({ client }) => {
      t.deepEqual(
        (await client.ListContainers({})).containers.map(({ id }) => id),
        ['a', 'b'],
      );
      t.is((await client.Version({})).version, 'x');
    },
  );
});

test('a stream gives its messages in order, and its error after them', (t) =>
  withServer(
    {
      async *Pull({ image }) {
        for (let at = 1; at <= 500; at += 1) yield { digest: image, offset: at };
        throw new BerthError('data-loss', 'layer 3: wrong digest');
      },
    },
    async ({ client }) => {
      const offsets: bigint[] = [];
      const read = async () => {
        for await (const { offset } of client.Pull({ image: 'i' })) offsets.push(offset);
      };
      t.is(await failure(read()), 'data-loss: layer 3: wrong digest');
      t.is(offsets.length, 500);
      t.is(offsets.at(-1), 500n);
    },
  ));

/** 64 KiB each; `pulled` counts what was asked for. */
async function* parts(count: number, pulled: { count: number }) {
  for (; pulled.count < count; pulled.count += 1) yield { data: Buffer.alloc(1 << 16, pulled.count) };
}

const readAll = async (answers: AsyncIterable<unknown>): Promise<number> => {
  let count = 0;
  for await (const _ of answers) count += 1;
  return count;
};

test('a handler gets a stream of requests in order, and a handler that does not read holds its client up', async (t) => {
  const go = Promise.withResolvers<void>();
  const firsts: (number | undefined)[] = [];
  const handlers: Handlers = {
    async *Load(requests) {
      await go.promise;
      for await (const { data } of requests) {
        firsts.push(data[0]);
        yield { image: { image_id: `${data.length}` } };
      }
    },
  };
  await withServer(handlers, async ({ client }) => {
    const pulled = { count: 0 };
    const answers = readAll(client.Load(parts(250, pulled)));
    await sleep(100);
    t.true(pulled.count < 60, `${pulled.count} of 250 parts were taken before the handler read`);
    go.resolve();
    t.is(await answers, 250);
    t.deepEqual(
      firsts,
      Array.from({ length: 250 }, (_, at) => at),
    );
  });
});

test('a handler that fails in the middle of a stream of requests ends the client with its error', (t) =>
  withServer(
    {
      async *Load(requests) {
        for await (const { data } of requests) if (data[0] === 3) throw new BerthError('data-loss', 'wrong byte');
        yield {};
      },
    },
    async ({ client }) => {
      const pulled = { count: 0 };
      t.is(await failure(readAll(client.Load(parts(10_000, pulled)))), 'data-loss: wrong byte');
      t.true(pulled.count < 1000);
      t.is(await failure(readAll(client.Load(parts(1, { count: 0 })))), 'no error');
    },
  ));

test('a client whose source says nothing more learns that the handler has failed', (t) =>
  withServer(
    {
      async *Load(requests) {
        for await (const _ of requests) throw new BerthError('data-loss', 'wrong byte');
        yield {};
      },
    },
    async ({ client }) => {
      async function* silent() {
        yield {};
        await new Promise<never>(() => {});
      }
      t.is(await failure(readAll(client.Load(silent()))), 'data-loss: wrong byte');
    },
  ));

test('an error of what a client sends is its own error, and the handler learns that it has gone', async (t) => {
  const ended = Promise.withResolvers<unknown>();
  const handlers: Handlers = {
    async *Load(requests, { signal }) {
      try {
        for await (const _ of requests) begun.resolve();
        yield {};
      } catch (error) {
        ended.resolve([codeOf(error), signal.aborted]);
        throw error;
      }
    },
  };
  const begun = Promise.withResolvers<void>();
  async function* broken() {
    yield {};
    await begun.promise;
    throw new BerthError('not-found', 'read archive: gone');
  }
  await withServer(handlers, async ({ client }) => {
    t.is(await failure(readAll(client.Load(broken()))), 'not-found: read archive: gone');
    t.deepEqual(await ended.promise, ['cancelled', true]);
  });
});

test('a client that leaves a stream ends its handler', async (t) => {
  let ended = false;
  const handlers: Handlers = {
    async *GetContainerEvents(_, { signal }) {
      try {
        while (!signal.aborted) {
          yield { container_id: 'x'.repeat(10_000) };
          await sleep(1);
        }
      } finally {
        ended = true;
      }
    },
  };
  await withServer(handlers, async ({ client }) => {
    for await (const event of client.GetContainerEvents({})) {
      t.is(event.container_id.length, 10_000);
      break;
    }
    await until(() => ended);
    t.true(ended);
  });
});

test('close lets a running call end, and then nobody answers', async (t) => {
  const { path: directory, cleanup } = await dir({ prefix: 'berth-api-', unsafeCleanup: true });
  const address = `unix://${join(directory, 's.sock')}`;
  const begun = Promise.withResolvers<void>();
  const handlers: Handlers = {
    Version: async () => {
      begun.resolve();
      await sleep(150);
      return { version: 'late' };
    },
  };
  const server = await serve(handlers, { address, log: recorder().log, ready: () => true });
  const client = connect(address);
  const answer = client.Version({});
  await begun.promise;
  await server.close(20_000);
  t.is((await answer).version, 'late');
  t.regex(
    await failure(client.Version({}, { timeoutMs: 2000 })),
    /^unavailable: Version: connect to \/\S+s\.sock: ENOENT$/,
  );
  client.close();
  await cleanup();
});

test('close ends a stream that has no end at once, and still lets a running call end', async (t) => {
  const { path: directory, cleanup } = await dir({ prefix: 'berth-api-', unsafeCleanup: true });
  const address = `unix://${join(directory, 's.sock')}`;
  const answering = Promise.withResolvers<void>();
  const [called, listening] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const handlers: Handlers = {
    Version: async () => {
      called.resolve();
      await answering.promise;
      return { version: 'late' };
    },
    GetContainerEvents: async function* (_, { signal }) {
      listening.resolve();
      await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    },
  };
  const server = await serve(handlers, { address, log: recorder().log, ready: () => true });
  const client = connect(address);
  const answer = client.Version({});
  const event = failure(client.GetContainerEvents({})[Symbol.asyncIterator]().next());
  await Promise.all([called.promise, listening.promise]);
  const closed = server.close(60_000);
  t.is(await event, 'unavailable: berthd is stopping');
  answering.resolve();
  t.is((await answer).version, 'late');
  await closed;
  client.close();
  await cleanup();
});

test('close aborts what outlasts the grace period', async (t) => {
  const { path: directory, cleanup } = await dir({ prefix: 'berth-api-', unsafeCleanup: true });
  const address = `unix://${join(directory, 's.sock')}`;
  const reasons: unknown[] = [];
  const begun = Promise.withResolvers<void>();
  const server = await serve(waiting(reasons, begun), { address, log: recorder().log, ready: () => true });
  const client = connect(address);
  const answer = failure(client.StopContainer({}));
  await begun.promise;
  await server.close(50);
  t.not(await answer, 'no error');
  t.deepEqual(reasons.map(codeOf), ['unavailable']);
  client.close();
  await cleanup();
});
