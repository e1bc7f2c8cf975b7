import { once } from 'node:events';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import { StreamingServer } from '../../cri/stream/server.ts';
import type { WantedStreams } from '../../cri/stream/session.ts';
import { until } from '../harness/until.ts';
import { allProtocols, outcome, spdyCommand, WebSocketClient } from './streaming/command.ts';
import { OwnProcess } from './streaming/process.ts';
import { Refused, SpdyClient } from './streaming/spdy-client.ts';

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

const all = { stdin: true, stdout: true, stderr: true, tty: false };

/** An exec whose process is the test's own. */
const exec = (server: StreamingServer, wanted: WantedStreams = all, kind: 'exec' | 'attach' = 'exec') => {
  const process = new OwnProcess(wanted);
  const url = server.urlOf({ kind, wanted, open: async () => process });
  return { process, url };
};

test('an exec over SPDY carries all streams and the exit code', async (t) => {
  await using server = await start();
  for (const protocol of allProtocols) {
    const { process, url } = exec(server);
    const command = await spdyCommand(url, all, { protocols: [protocol] });
    t.is(command.client.protocol, protocol);
    command.stdin?.end('to be or not');
    process.stdout?.write('out');
    process.stderr?.write('err');
    t.is(await text(process.input), 'to be or not');
    process.exit(7);
    const { stdout, stderr, status } = await outcome(command);
    t.deepEqual([stdout, stderr], ['out', 'err']);
    if (protocol.startsWith('v4')) {
      const { reason, details } = JSON.parse(status);
      t.deepEqual([reason, details.causes], ['NonZeroExitCode', [{ reason: 'ExitCode', message: '7' }]]);
    } else t.is(status, 'command terminated with non-zero exit code: 7');
  }
});

test('an exit with 0 is a Success, and before protocol 4 nothing', async (t) => {
  await using server = await start();
  for (const [protocol, expected] of [
    ['v4.channel.k8s.io', '{"metadata":{},"status":"Success"}'],
    ['v2.channel.k8s.io', ''],
  ] as const) {
    const { process, url } = exec(server);
    const command = await spdyCommand(url, all, { protocols: [protocol] });
    process.exit(0);
    t.is((await outcome(command)).status, expected);
  }
});

test('streams may be opened in any order, and one too many is nothing', async (t) => {
  await using server = await start();
  const tty = { stdin: true, stdout: true, stderr: false, tty: true };
  for (const order of [
    ['resize', 'stdout', 'stdin', 'error'],
    ['stderr', 'error', 'stdout', 'resize', 'stdin'],
  ]) {
    const { process, url } = exec(server, tty);
    const command = await spdyCommand(url, tty, { order });
    command.resize?.write('{"Width":80,"Height":24}\n{"Wid');
    command.resize?.write('th":100,"Height":30}');
    await until('both sizes came', () => process.sizes.length === 2);
    t.deepEqual(process.sizes, [
      { columns: 80, rows: 24 },
      { columns: 100, rows: 30 },
    ]);
    process.stdout?.write('$ ');
    process.exit(0);
    t.is((await outcome(command)).stdout, '$ ');
  }
});

test('sizes that came before the first input reach the process before it, over either protocol', async (t) => {
  await using server = await start();
  const tty = { stdin: true, stdout: true, stderr: false, tty: true };
  const delayed = () => {
    const process = new OwnProcess(tty);
    const isReady = Promise.withResolvers<void>();
    const url = server.urlOf({ kind: 'exec', wanted: tty, open: () => isReady.promise.then(() => process) });
    return { process, url, go: isReady.resolve };
  };
  const size = '{"Width":80,"Height":24}';
  const spdy = delayed();
  const command = await spdyCommand(spdy.url, tty);
  command.resize?.write(size);
  command.stdin?.write('x');
  const web = delayed();
  const client = new WebSocketClient(web.url, ['v5.channel.k8s.io']);
  await client.opened;
  client.send(4, size);
  client.send(0, 'x');
  // all of it waits on the server when the process is there
  await sleep(50);
  for (const { go, process } of [spdy, web]) {
    go();
    await once(process.input, 'data');
    t.is(process.sizesAtFirst, 1);
    process.exit(0);
  }
  await outcome(command);
  await client.closed;
});

test('streams that do not come end the session after the creation timeout, and nothing is started', async (t) => {
  await using server = await start({ creationMs: 100 });
  let opened = false;
  const url = server.urlOf({
    kind: 'exec',
    wanted: all,
    open: async () => {
      opened = true;
      return new OwnProcess(all);
    },
  });
  const client = await SpdyClient.open(url, allProtocols);
  // Where the machine stops this process, the time may be over before the stream is answered.
  await client.stream({ streamType: 'error' }).catch(() => undefined);
  await client.closed;
  t.false(opened);
});

test('a stream of an unknown type or a second one of a type is refused, the others go on', async (t) => {
  await using server = await start();
  const { process, url } = exec(server, { stdin: false, stdout: true, stderr: false, tty: false });
  const client = await SpdyClient.open(url, allProtocols);
  const error = await client.stream({ streamType: 'error' });
  await t.throwsAsync(client.stream({ streamType: 'error' }), { message: /reset/ });
  await t.throwsAsync(client.stream({ streamType: 'video' }), { message: /reset/ });
  await t.throwsAsync(client.stream({}), { message: /reset/ });
  const stdout = await client.stream({ streamType: 'stdout' });
  process.stdout?.write('ok');
  process.exit(0);
  t.is(await text(stdout), 'ok');
  t.regex(await text(error), /Success/);
});

test('an error of the opening is the status, with the code that clients show', async (t) => {
  await using server = await start();
  const url = server.urlOf({
    kind: 'exec',
    wanted: all,
    open: async () => {
      throw new Error('exec nosuch: ENOENT');
    },
  });
  const { status } = await outcome(await spdyCommand(url, all));
  const { reason, code, message } = JSON.parse(status);
  t.deepEqual([reason, code], ['InternalError', 500]);
  t.is(message, 'Internal error occurred: error executing command in container: exec nosuch: ENOENT');
});

test('a client that is cut off ends its process', async (t) => {
  await using server = await start();
  for (const cut of ['destroy', 'end', 'reset'] as const) {
    const { process, url } = exec(server);
    const { client } = await spdyCommand(url, all);
    if (cut === 'reset') client.close();
    else client.socket[cut]();
    await until('the process is closed', () => process.closed);
    t.pass();
  }
});

test('a client that is lost while its input is stuck is found, and its process ended', async (t) => {
  await using server = await start();
  const { process, url } = exec(server);
  const command = await spdyCommand(url, all);
  for (let piece = 0; piece < 1000; piece += 1) command.stdin?.write(Buffer.alloc(32 << 10));
  await until('input came', () => (process.stdin?.readableLength ?? 0) > 0);
  t.false(process.closed);
  command.client.socket.destroy();
  await until('the process is closed', () => process.closed);
});

test('a client that does not read holds its process up and nothing else', async (t) => {
  await using server = await start();
  const { process, url } = exec(server);
  const command = await spdyCommand(url, all);
  command.client.socket.pause();
  let written = 0;
  await until('the output is stuck', async () => {
    for (let piece = 0; piece < 1000; piece += 1) {
      if (process.stdout?.write(Buffer.alloc(64 << 10)) === false) return true;
      written += 64 << 10;
      await new Promise((resolve) => setImmediate(resolve));
    }
    return false;
  });
  t.true(written < 32 << 20, `${written}`);
  const other = exec(server);
  const second = await spdyCommand(other.url, all);
  other.process.exit(0);
  t.regex((await outcome(second)).status, /Success/);
  command.client.socket.destroy();
});

test('a megabyte of output arrives whole before the status, also when the client sends on and on', async (t) => {
  await using server = await start();
  const { process, url } = exec(server);
  const command = await spdyCommand(url, all);
  const bytes = Buffer.alloc(5 << 20, 'x');
  process.stdin?.resume();
  const more = setInterval(() => command.stdin?.write('more'), 1);
  process.stdout?.end(bytes);
  process.exit(0);
  const { stdout, status } = await outcome(command);
  clearInterval(more);
  t.is(stdout.length, bytes.length);
  t.regex(status, /Success/);
});

test('an attach without outputs is over with its input', async (t) => {
  await using server = await start();
  const wanted = { stdin: true, stdout: false, stderr: false, tty: false };
  const { process, url } = exec(server, wanted, 'attach');
  const command = await spdyCommand(url, wanted);
  process.stdin?.resume();
  command.stdin?.end('x');
  t.regex((await outcome(command)).status, /Success/);
});

test('no data for too long ends the session, pings or not', async (t) => {
  await using server = await start({ idleMs: 600 });
  const { process, url } = exec(server);
  const { client } = await spdyCommand(url, all);
  const { controlFrame, FrameType } = await import('../../cri/stream/spdy/frames.ts');
  // Were a ping data, the session would never end.
  const pings = setInterval(() => client.send(controlFrame(FrameType.PING, [1])), 20);
  await client.closed;
  clearInterval(pings);
  t.true(process.closed);
  t.true(client.frames.some(({ type }) => type === FrameType.PING));
});

test('data keeps a session beyond the idle timeout', async (t) => {
  await using server = await start({ idleMs: 800 });
  const { process, url } = exec(server);
  const command = await spdyCommand(url, all);
  const more = setInterval(() => process.stdout?.write('.'), 50);
  const alive = await Promise.race([
    command.client.closed.then(() => false),
    new Promise((resolve) => setTimeout(resolve, 1300, true)),
  ]);
  clearInterval(more);
  t.true(alive);
  command.client.socket.destroy();
});

const refused = async (
  t: ExecutionContext,
  url: string,
  headers: Record<string, string>,
  status: number,
  message: RegExp,
  method = 'POST',
) => {
  const { upgrade, direct } = await import('./streaming/spdy-client.ts');
  const error = await t.throwsAsync(upgrade(new URL(url), headers, direct, method), { instanceOf: Refused });
  t.is(error?.status, status, error?.message);
  t.regex(error?.message ?? '', message);
  return error?.headers ?? '';
};
const spdy = { Connection: 'Upgrade', Upgrade: 'SPDY/3.1' };

test('a token is good once, for its own kind, and an unknown one never', async (t) => {
  await using server = await start();
  const version = { 'X-Stream-Protocol-Version': 'v4.channel.k8s.io' };
  const { process, url } = exec(server);
  const command = await spdyCommand(url, all);
  await refused(t, url, { ...spdy, ...version }, 404, /used/);
  process.exit(0);
  await outcome(command);
  const { url: other } = exec(server);
  await refused(t, other.replace('/exec/', '/attach/'), { ...spdy, ...version }, 404, /unknown/);
  for (const path of ['/exec/', '/exec/AAAA', '/', '/exec/../x', '/metrics', `/exec/${'A'.repeat(4000)}`])
    await refused(t, `${server.base}${path}`, { ...spdy, ...version }, 404, /token|page/);
});

test('a request that cannot be upgraded is told why, as Kubernetes does', async (t) => {
  await using server = await start();
  const url = (): string => exec(server).url;
  await refused(t, url(), spdy, 400, /X-Stream-Protocol-Version/);
  await refused(t, url(), { ...spdy, 'X-Stream-Protocol-Version': ' , ' }, 400, /empty/);
  const accepted = await refused(
    t,
    url(),
    { ...spdy, 'X-Stream-Protocol-Version': 'v9.channel.k8s.io' },
    403,
    /v9\.channel/,
  );
  t.regex(accepted, /X-Accepted-Stream-Protocol-Versions: v4\.channel\.k8s\.io, v3/i);
  await refused(
    t,
    url(),
    { ...spdy, Upgrade: 'h2c', 'X-Stream-Protocol-Version': 'v4.channel.k8s.io' },
    400,
    /SPDY\/3\.1/,
  );
  await refused(t, url(), {}, 400, /upgrade/);
  await refused(t, url(), spdy, 405, /PUT/, 'PUT');
  const { url: forward } = {
    url: server.urlOf({
      kind: 'portforward',
      ports: [],
      connect: async () => {
        throw new Error('no');
      },
    }),
  };
  await refused(t, forward, { ...spdy, 'X-Stream-Protocol-Version': 'v4.channel.k8s.io' }, 403, /portforward\.k8s\.io/);
});

test('an exec over WebSocket carries all channels and the exit code, in each protocol', async (t) => {
  await using server = await start();
  for (const protocol of [
    'v5.channel.k8s.io',
    'v4.channel.k8s.io',
    'v4.base64.channel.k8s.io',
    'channel.k8s.io',
    'base64.channel.k8s.io',
    '',
  ]) {
    const { process, url } = exec(server);
    const client = new WebSocketClient(url, protocol === '' ? [] : [protocol]);
    await client.opened;
    t.is(client.socket.protocol, protocol);
    client.send(0, 'in');
    process.stdout?.write('out');
    process.stderr?.write('err');
    await until('the input came', () => process.stdin?.readableLength === 2);
    process.exit(3);
    t.is(await client.closed, 1000);
    t.deepEqual([client.text(1), client.text(2)], ['out', 'err']);
    t.is(client.count(1), 2, 'an empty message says that it is connected');
    if (/v[45]/.test(protocol)) t.is(JSON.parse(client.text(3)).details.causes[0].message, '3');
    else t.is(client.text(3), 'command terminated with non-zero exit code: 3');
  }
});

test('protocol 5 closes stdin with a signal, protocol 4 does not know it', async (t) => {
  await using server = await start();
  const { process, url } = exec(server);
  const client = new WebSocketClient(url, ['v5.channel.k8s.io', 'v4.channel.k8s.io']);
  await client.opened;
  client.send(0, 'all of it');
  client.end(0);
  t.is(await text(process.input), 'all of it');
  process.exit(0);
  await client.closed;
  const fourth = exec(server);
  const old = new WebSocketClient(fourth.url, ['v4.channel.k8s.io']);
  await old.opened;
  old.end(0);
  old.send(0, 'more');
  await until('the input came', () => fourth.process.stdin?.readableLength === 4);
  old.socket.terminate();
  await until('the process is closed', () => fourth.process.closed);
});

test('what is no message of the protocol ends a WebSocket with a reason', async (t) => {
  await using server = await start();
  for (const [protocol, message] of [
    ['v5.channel.k8s.io', Buffer.of(255)],
    ['v5.channel.k8s.io', Buffer.of(255, 9)],
    ['v5.channel.k8s.io', Buffer.of(255, 0, 0)],
    ['v4.base64.channel.k8s.io', '0!!!!'],
    ['v4.base64.channel.k8s.io', '0abc'],
  ] as const) {
    const { process, url } = exec(server);
    const client = new WebSocketClient(url, [protocol]);
    await client.opened;
    client.socket.send(message);
    t.is(await client.closed, 1003, `${message}`);
    await until('the process is closed', () => process.closed);
  }
});

test('messages for channels that are not there, and empty ones, change nothing', async (t) => {
  await using server = await start();
  const { process, url } = exec(server);
  const client = new WebSocketClient(url, ['v4.channel.k8s.io']);
  await client.opened;
  for (const message of [Buffer.alloc(0), Buffer.of(9, 1), Buffer.of(1, 1), Buffer.of(0)]) client.socket.send(message);
  client.send(4, '{"Width":80,"Height":24}');
  client.send(0, 'in');
  await until('the input came', () => process.stdin?.readableLength === 2);
  t.deepEqual(process.sizes, []);
  process.exit(0);
  t.is(await client.closed, 1000);
});

test('a WebSocket client that does not read holds its process up', async (t) => {
  await using server = await start();
  const { process, url } = exec(server);
  const client = new WebSocketClient(url, ['v4.channel.k8s.io']);
  await client.opened;
  client.socket.pause();
  let written = 0;
  for (let stuck = false; !stuck && written < 64 << 20; written += 64 << 10) {
    stuck = process.stdout?.write(Buffer.alloc(64 << 10)) === false;
    await new Promise((resolve) => setTimeout(resolve, stuck ? 50 : 0));
    if (stuck) stuck = process.stdout?.writableNeedDrain ?? false;
  }
  t.true(written < 32 << 20, `${written}`);
  client.socket.terminate();
  await until('the process is closed', () => process.closed);
});

test('a WebSocket protocol that nobody knows is refused', async (t) => {
  await using server = await start();
  const client = new WebSocketClient(exec(server).url, ['v9.channel.k8s.io']);
  await t.throwsAsync(client.opened, { message: /403/ });
});

test('connections that show no token go when there are too many, the oldest first, and sessions stay', async (t) => {
  await using server = await start();
  const { process, url } = exec(server);
  const client = new WebSocketClient(url, ['v4.channel.k8s.io']);
  await client.opened;
  const { port } = new URL(server.base);
  const sockets = Array.from({ length: 1001 }, () => connect(Number(port), '127.0.0.1').on('error', () => undefined));
  try {
    await once(sockets[0] ?? t.fail(), 'close');
    t.deepEqual([sockets.filter(({ closed }) => closed).length, process.closed], [1, false]);
    process.exit(0);
    t.is(await client.closed, 1000);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

test('a server that stops ends its sessions and their processes, and listens no more', async (t) => {
  const server = await start();
  const first = exec(server);
  const command = await spdyCommand(first.url, all);
  const second = exec(server);
  const client = new WebSocketClient(second.url, ['v4.channel.k8s.io']);
  await client.opened;
  const waiting = exec(server);
  await server[Symbol.asyncDispose]();
  await Promise.all([command.client.closed, client.closed]);
  await until('both processes are closed', () => first.process.closed && second.process.closed);
  await t.throwsAsync(spdyCommand(waiting.url, all), { message: /ECONNREFUSED|closed/ });
});
