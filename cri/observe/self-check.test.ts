import { createServer as createHttp2Server, type ServerHttp2Stream } from 'node:http2';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { withDir } from 'tmp-promise';
import type { Handlers } from '../../api/handlers.ts';
import { serve } from '../../api/server.ts';
import type { Log } from '../log.ts';
import { SelfCheck } from './self-check.ts';

const nothing = (): void => undefined;
const log = { debug: nothing, info: nothing, warn: nothing, error: nothing } as unknown as Log;
const Version: Handlers['Version'] = async () => ({ version: '0.1.0' });

const block = (ms: number): void => {
  const end = performance.now() + ms;
  while (performance.now() < end);
};

const withSocket = (action: (address: string, path: string) => Promise<void>): Promise<void> =>
  withDir(({ path }) => action(`unix://${join(path, 'b.sock')}`, join(path, 'b.sock')), { unsafeCleanup: true });

test('a daemon that answers has no problem, nor one that says that it is starting', (t) =>
  withSocket(async (address) => {
    let ready = true;
    await using _server = await serve({ Version }, { address, log, ready: () => ready });
    t.is(await new SelfCheck(address).problem(), undefined);
    ready = false;
    t.is(await new SelfCheck(address).problem(), undefined);
  }));

test('nobody at the socket, nobody who answers, and a call that fails are each told', (t) =>
  withSocket(async (address, path) => {
    t.regex((await new SelfCheck(address).problem()) ?? '', /^Version over .*b\.sock: connect ENOENT /);
    const mute = createServer((socket) => void socket.resume()).listen(path);
    t.regex((await new SelfCheck(address).problem(100)) ?? '', /: no answer in 100 ms$/);
    await new Promise((resolve) => mute.close(resolve));
    await using _server = await serve({}, { address, log, ready: () => true });
    t.regex((await new SelfCheck(address).problem()) ?? '', /: status 12: Version: not implemented/);
  }));

test('a daemon that was blocked for longer than the limit has no problem when it answers afterwards', (t) =>
  withSocket(async (address) => {
    let blockedMs = 300;
    const slow: Handlers = {
      Version: async () => {
        block(blockedMs);
        return { version: '0.1.0' };
      },
    };
    await using _server = await serve(slow, { address, log, ready: () => true });
    const check = new SelfCheck(address);
    t.is(await check.problem(100), undefined, 'blocked in the call');
    blockedMs = 0;
    const problem = check.problem(100);
    block(300);
    t.is(await problem, undefined, 'blocked before the connection was made');
  }));

test('checks at the same time are one call, and the next one asks anew', (t) =>
  withSocket(async (address) => {
    let calls = 0;
    const counted: Handlers = {
      Version: async () => {
        calls += 1;
        return { version: '0.1.0' };
      },
    };
    await using _server = await serve(counted, { address, log, ready: () => true });
    const check = new SelfCheck(address);
    await Promise.all([check.problem(), check.problem(), check.problem()]);
    t.is(calls, 1);
    await check.problem();
    t.is(calls, 2);
  }));

test('an answer that is none of ours is told, and is no failure of the check itself', (t) =>
  withSocket(async (address, path) => {
    const answers: ((stream: ServerHttp2Stream) => void)[] = [
      (stream) => stream.respond({ 'grpc-status': '13', 'grpc-message': '%zz' }, { endStream: true }),
      (stream) => stream.close(),
      (stream) => stream.session?.destroy(),
    ];
    const server = createHttp2Server().listen(path);
    server.on('stream', (stream) => answers.shift()?.(stream));
    const check = new SelfCheck(address);
    t.regex((await check.problem()) ?? '', /: status 13: %zz$/);
    t.regex((await check.problem(500)) ?? '', /no answer in|closed/);
    t.regex((await check.problem()) ?? '', /closed|reset|ended|canceled/i);
    await new Promise((resolve) => server.close(resolve));
    const garbage = createServer((socket) => void socket.resume().end('SSH-2.0\r\n')).listen(`${path}2`);
    t.regex((await new SelfCheck(`${address}2`).problem()) ?? '', /^Version over /);
    await new Promise((resolve) => garbage.close(resolve));
  }));
