import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import test from 'ava';
import { pino } from 'pino';
import { StreamingServer } from '../../cri/stream/server.ts';
import { until } from '../harness/until.ts';
import { WebSocketClient } from './streaming/command.ts';
import { type ClientStream, SpdyClient } from './streaming/spdy-client.ts';
import { tunnel } from './streaming/tunnel.ts';

const log = pino({ level: 'silent' });

const start = (options: { idleMs?: number; creationMs?: number } = {}): Promise<StreamingServer> =>
  StreamingServer.start({
    address: '127.0.0.1',
    port: 0,
    certificates: undefined,
    idleMs: 60_000,
    creationMs: 5000,
    log,
    ...options,
  });

/** A program that listens; `port` 80 is forwarded to it, any other port is refused. */
const listening = async (talk: (socket: Socket) => void) => {
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    talk(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const open = new Set<Duplex>();
  const forward = async (port: number): Promise<Duplex> => {
    if (port !== 80) throw new Error(`connect to port ${port}: connection refused`);
    const socket = connect({ port: (server.address() as AddressInfo).port, host: '127.0.0.1', allowHalfOpen: true });
    await once(socket, 'connect');
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    return socket;
  };
  return { forward, open, [Symbol.dispose]: () => server.close() };
};

const urlOf = (
  server: StreamingServer,
  connectTo: (port: number) => Promise<Duplex>,
  ports: readonly number[] = [],
): string => server.urlOf({ kind: 'portforward', ports, connect: connectTo });

let requests = 0;
/** As kubectl does: the error stream, closed at once for writing, then the data stream. */
const pair = async (
  client: SpdyClient,
  port: number,
): Promise<{ readonly error: ClientStream; readonly data: ClientStream }> => {
  requests += 1;
  const headers = { port: `${port}`, requestID: `${requests}` };
  const error = await client.stream({ ...headers, streamType: 'error' });
  error.end();
  return { error, data: await client.stream({ ...headers, streamType: 'data' }) };
};

const clients = {
  SPDY: (url: string) => SpdyClient.open(url, ['portforward.k8s.io']),
  'SPDY in a WebSocket': (url: string) => tunnel(url),
};
const upper = (socket: Socket): void =>
  void socket.on('data', (bytes) => socket.write(bytes.toString().toUpperCase())).on('end', () => socket.end('!'));

for (const [name, open] of Object.entries(clients)) {
  test(`${name}: many connections of one client are carried apart, and half-closes are kept`, async (t) => {
    using program = await listening(upper);
    await using server = await start();
    const client = await open(urlOf(server, program.forward));
    const pairs = await Promise.all(Array.from({ length: 20 }, () => pair(client, 80)));
    const answers = await Promise.all(
      pairs.map(async ({ data, error }, index) => {
        data.end(`hello ${index}`);
        return [await text(data), await text(error)];
      }),
    );
    t.deepEqual(
      answers,
      pairs.map((_, index) => [`HELLO ${index}!`, '']),
    );
    await until('the connections are closed', () => program.open.size === 0);
    client.close();
    await client.closed;
  });

  test(`${name}: a refused port is told on the error stream, and the client's other ports go on`, async (t) => {
    using program = await listening(upper);
    await using server = await start();
    const client = await open(urlOf(server, program.forward));
    const bad = await pair(client, 81);
    t.is(await text(bad.error), 'error forwarding port 81: connect to port 81: connection refused');
    await until('its data stream is reset', () => bad.data.reset);
    const good = await pair(client, 80);
    good.data.end('x');
    t.is(await text(good.data), 'X!');
    client.close();
  });

  test(`${name}: a client that is cut off takes its connections with it`, async (t) => {
    using program = await listening(() => undefined);
    await using server = await start();
    const client = await open(urlOf(server, program.forward));
    await Promise.all([pair(client, 80), pair(client, 80)]);
    await until('two connections', () => program.open.size === 2);
    client.socket.destroy();
    await until('no connection', () => program.open.size === 0);
    t.pass();
  });

  test(`${name}: ten megabytes go each way unchanged`, async (t) => {
    using program = await listening((socket) => socket.pipe(socket));
    await using server = await start();
    const client = await open(urlOf(server, program.forward));
    const { data } = await pair(client, 80);
    const bytes = Buffer.alloc(10 << 20);
    for (let at = 0; at < bytes.length; at += 4) bytes.writeUInt32LE(at, at);
    data.end(bytes);
    const back: Buffer[] = [];
    for await (const piece of data) back.push(piece as Buffer);
    t.true(Buffer.concat(back).equals(bytes));
    client.close();
  });
}

test('a connection that the pod resets is reset for the client', async (t) => {
  using program = await listening((socket) => socket.once('data', () => socket.resetAndDestroy()));
  await using server = await start();
  const client = await SpdyClient.open(urlOf(server, program.forward), ['portforward.k8s.io']);
  const { data } = await pair(client, 80);
  data.write('x');
  await until('the stream is reset', () => data.reset);
  t.pass();
  client.close();
});

test('streams of a port-forward are refused without a port, with a wrong one, of another type, or twice', async (t) => {
  using program = await listening(upper);
  await using server = await start();
  const client = await SpdyClient.open(urlOf(server, program.forward), ['portforward.k8s.io']);
  for (const headers of [
    { streamType: 'data', requestID: 'a' },
    { streamType: 'data', requestID: 'a', port: '0' },
    { streamType: 'data', requestID: 'a', port: '65536' },
    { streamType: 'data', requestID: 'a', port: '80x' },
    { streamType: 'stdin', requestID: 'a', port: '80' },
    { requestID: 'a', port: '80' },
  ])
    await t.throwsAsync(client.stream(headers as Record<string, string>), { message: /reset/ });
  await client.stream({ streamType: 'data', requestID: 'a', port: '80' });
  await t.throwsAsync(client.stream({ streamType: 'data', requestID: 'a', port: '80' }), { message: /reset/ });
  await t.throwsAsync(client.stream({ streamType: 'error', requestID: 'a', port: '81' }), { message: /reset/ });
  client.close();
});

test('an old client that names no request is understood by the order of its streams', async (t) => {
  using program = await listening(upper);
  await using server = await start();
  const client = await SpdyClient.open(urlOf(server, program.forward), ['portforward.k8s.io']);
  await client.stream({ streamType: 'error', port: '80' });
  const data = await client.stream({ streamType: 'data', port: '80' });
  data.end('old');
  t.is(await text(data), 'OLD!');
  client.close();
});

test('a data stream that does not come is told on the error stream after the creation timeout', async (t) => {
  using program = await listening(upper);
  await using server = await start({ creationMs: 100 });
  const client = await SpdyClient.open(urlOf(server, program.forward), ['portforward.k8s.io']);
  const error = await client.stream({ streamType: 'error', port: '80', requestID: 'r' });
  t.regex(await text(error), /request r: .* in time/);
  t.is(program.open.size, 0);
  client.close();
});

test('a port-forward over channels has two channels a port, each starting with the port', async (t) => {
  using program = await listening((socket) => socket.once('data', (bytes) => socket.end(`you said ${bytes}`)));
  await using server = await start();
  for (const protocol of ['v4.channel.k8s.io', 'v4.base64.channel.k8s.io']) {
    const client = new WebSocketClient(urlOf(server, program.forward, [80, 8081, 80, 80, 80, 80]), [protocol]);
    await client.opened;
    for (const channel of [0, 4, 6, 8, 10]) client.send(channel, 'hello');
    t.is(await client.closed, 1000);
    const port = (number: number): string => Buffer.of(number & 0xff, number >> 8).toString();
    for (const channel of [0, 10]) t.is(client.text(channel), `${port(80)}you said hello`, `${channel}`);
    t.is(client.text(1), port(80));
    t.regex(client.text(3), /error forwarding port 8081: .*refused/);
  }
});
