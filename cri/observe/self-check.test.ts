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
