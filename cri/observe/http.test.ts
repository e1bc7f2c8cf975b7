import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { text as readAll } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { withDir } from 'tmp-promise';
import type { Log } from '../log.ts';
import { ObserveServer, type Pages, text } from './http.ts';
import { Persistent } from './persistent.ts';
import { StandingClock } from './testing/standing-clock.ts';

const nothing = (): void => undefined;
const log = { debug: nothing, info: nothing, warn: nothing, error: nothing } as unknown as Log;

const pages: Pages = {
  '/plain': async (isVerbose) => text(200, isVerbose ? 'at length' : 'short'),
  '/broken': async () => {
    throw new Error('the page cannot be made');
  },
  '/large': async () => text(200, 'x'.repeat(8 << 20)),
};

const withServer = (action: (path: string) => Promise<void>): Promise<void> =>
  withDir(
    async ({ path: directory }) => {
      const path = join(directory, 's/http.sock');
      await using _server = await ObserveServer.open(`unix://${path}`, pages, log);
      await action(path);
    },
    { unsafeCleanup: true },
  );

const opened = async (path: string): Promise<Socket> => {
  const socket = connect(path);
  socket.on('error', nothing);
  await once(socket, 'connect');
  return socket;
};

/** What comes back for these bytes until the server closes the connection. */
const raw = async (path: string, bytes: string): Promise<string> => {
  const socket = await opened(path);
  socket.write(bytes);
  return readAll(socket);
};

const get = (path: string, target: string, more = ''): Promise<string> =>
  raw(path, `GET ${target} HTTP/1.1\r\nHost: x\r\n${more}Connection: close\r\n\r\n`);

const statusIs = (t: ExecutionContext, answer: string, status: number): void => {
  t.true(answer.startsWith(`HTTP/1.1 ${status} `), answer.slice(0, 200));
};

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
};

test('a page is given, with its query, and the head of it alone for HEAD', (t) =>
  withServer(async (path) => {
    t.regex(await get(path, '/plain'), /^HTTP\/1\.1 200 [\s\S]*Content-Length: 6\r\n[\s\S]*\r\n\r\nshort\n$/);
    t.regex(await get(path, '/plain?verbose'), /\r\n\r\nat length\n$/);
    t.regex(
      await raw(path, 'HEAD /plain HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'),
      /Content-Length: 6\r\n[\s\S]*\r\n\r\n$/,
    );
  }));

test('other pages, methods and what is no HTTP are refused; a page that fails says why', (t) =>
  withServer(async (path) => {
    for (const target of ['/', '/plain/', '//plain', '/constructor', '/__proto__'])
      statusIs(t, await get(path, target), 404);
    const post = await raw(path, 'POST /plain HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc');
    statusIs(t, post, 405);
    t.regex(post, /^Allow: GET, HEAD\r$/m);
    statusIs(t, await raw(path, 'hello\r\n\r\n'), 400);
    statusIs(t, await get(path, '/plain', `X-Long: ${'a'.repeat(9000)}\r\n`), 431);
    const broken = await get(path, '/broken');
    statusIs(t, broken, 500);
    t.regex(broken, /the page cannot be made\n$/);
  }));

test('a request with a body is the last of its connection, and the body is no request', (t) =>
  withServer(async (path) => {
    const inner = 'GET /plain HTTP/1.1\r\nHost: x\r\n\r\n';
    const answer = await raw(path, `GET /plain HTTP/1.1\r\nHost: x\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`);
    t.is(answer.split('HTTP/1.1 200').length, 2);
    t.regex(answer, /^Connection: close\r$/m);
  }));

test('more requests in a second than anybody needs are refused, and a second later there is an answer again', (t) =>
  withServer(async (path) => {
    using clock = new StandingClock();
    const answers = await Promise.all(Array.from({ length: 30 }, () => get(path, '/plain')));
    for (const answer of answers) statusIs(t, answer, 200);
    const many = 'GET /plain HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(120);
    const answer = await raw(path, many);
    t.regex(answer, /HTTP\/1\.1 429 /);
    t.is(answer.split('HTTP/1.1 200').length - 1, 20);
    clock.pass(1000);
    statusIs(t, await get(path, '/plain'), 200);
  }));

test('who asks too often for one page takes nothing from who asks for another', (t) =>
  withServer(async (path) => {
    const many = 'GET /broken HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(110);
    using clock = new StandingClock();
    for (let turn = 0; turn < 3; turn += 1) {
      clock.pass(1000);
      t.regex(await raw(path, many), /HTTP\/1\.1 429 [\s\S]*more than 50 requests for \/broken in a second\n$/);
      statusIs(t, await get(path, '/plain'), 200);
    }
  }));

const soon = () => ({ signal: AbortSignal.timeout(20_000) });

const asks = async (socket: Socket): Promise<string> => {
  socket.write('GET /plain HTTP/1.1\r\nHost: x\r\n\r\n');
  return String((await once(socket, 'data', soon()))[0]);
};

test('connections that do nothing keep nobody out: of too many those that asked longest ago are closed', (t) =>
  withServer(async (path) => {
    const [first, second, third, lazy] = await Promise.all(Array.from({ length: 4 }, () => opened(path)));
    if (first === undefined || second === undefined || third === undefined || lazy === undefined) return t.fail();
    const others = await Promise.all(Array.from({ length: 27 }, () => opened(path)));
    lazy.pause().write('GET /large HTTP/1.1\r\nHost: x\r\n\r\n');
    for (const socket of others.slice(0, 9)) socket.write('GET /pl');
    statusIs(t, await asks(first), 200);
    const closed = [second, third].map((socket) => once(socket.resume(), 'close', soon()));
    for (let turn = 0; turn < 3; turn += 1) {
      const probe = await opened(path);
      others.push(probe);
      statusIs(t, await asks(probe), 200);
    }
    await Promise.all(closed);
    statusIs(t, await asks(first), 200);
    for (const socket of [...others, first, lazy]) socket.destroy();
  }));

test('who reads nothing, and who has sent half a request, does not keep the server from closing', async (t) => {
  await withServer(async (path) => {
    const lazy = await opened(path);
    lazy.pause();
    lazy.write('GET /large HTTP/1.1\r\nHost: x\r\n\r\n');
    const half = await opened(path);
    half.write('GET /pl');
    statusIs(t, await get(path, '/plain'), 200);
  });
  t.pass();
});

test('a loopback address is listened on, and one that is taken is told', async (t) => {
  const address = `127.0.0.1:${await freePort()}`;
  await using _server = await ObserveServer.open(address, pages, log);
  await t.throwsAsync(ObserveServer.open(address, pages, log), {
    message: /^metrics: listen on 127\.0\.0\.1:\d+: .*EADDRINUSE/,
  });
  const response = await fetch(`http://${address}/plain`);
  t.is(await response.text(), 'short\n');
});

test('an address that another has is taken when it becomes free, the failure is told once, and none is tried after the end', async (t) => {
  const address = `127.0.0.1:${await freePort()}`;
  const lines: string[] = [];
  const note = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
  const noting = { ...log, info: note, error: note } as unknown as Log;
  const other = await ObserveServer.open(address, pages, log);
  const persistent = await Persistent.start(() => ObserveServer.open(address, pages, log), noting, 20);
  await sleep(80);
  t.is(lines.length, 1);
  t.regex(lines[0] ?? '', /^berthd goes on without, and tries again .*EADDRINUSE/);
  await other[Symbol.asyncDispose]();
  const answers = async (): Promise<boolean> =>
    (await fetch(`http://${address}/plain`).catch(() => undefined))?.ok === true;
  for (let turn = 0; turn < 1000 && !(await answers()); turn += 1) await sleep(20);
  t.true(await answers());
  t.regex(lines[1] ?? '', /^opened at last/);
  await persistent[Symbol.asyncDispose]();
  await sleep(60);
  t.false(await answers());
});
