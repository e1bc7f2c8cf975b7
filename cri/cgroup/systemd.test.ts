import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { codeOf, messageOf } from '../../base/errors.ts';
import { BusConnection } from './dbus/connection.ts';
import { marshal, type Value } from './dbus/marshal.ts';
import { Systemd } from './systemd.ts';

interface Call {
  readonly serial: number;
  readonly text: string;
  /** Which connection of the peer's life it came over, from 1. */
  readonly round: number;
  readonly socket: Socket;
}

const message = (type: number, fields: readonly Value[], signature: string, body: readonly Value[]): Buffer => {
  const bytes = marshal(signature, body);
  const all = signature === '' ? fields : [...fields, [8, { signature: 'g', value: signature }]];
  const head = marshal('yyyyuua(yv)', [0x6c, type, 0, 1, bytes.length, 1, all]);
  return Buffer.concat([head, Buffer.alloc((8 - (head.length % 8)) % 8), bytes]);
};

const replyTo = ({ serial }: Call): Value => [5, { signature: 'u', value: serial }];
const reply = (call: Call, signature: string, body: readonly Value[]): Buffer =>
  message(2, [replyTo(call)], signature, body);
const refusal = (call: Call, name: string): Buffer =>
  message(3, [replyTo(call), [4, { signature: 's', value: `org.freedesktop.systemd1.${name}` }]], 's', ['no']);
const removed = (unit: string, job: string, result = 'done'): Buffer =>
  message(4, [[3, { signature: 's', value: 'JobRemoved' }]], 'uoss', [1, job, unit, result]);

/** Greets whoever connects, and gives each call to `answer`; what it returns is sent. */
const withPeer = (
  answer: (call: Call) => Buffer | undefined,
  action: (systemd: Systemd, path: string) => Promise<unknown>,
): Promise<void> =>
  withDir(
    async (directory) => {
      const path = join(directory.path, 'private');
      const sockets = new Set<Socket>();
      const server = createServer((socket) => {
        sockets.add(socket);
        const round = sockets.size;
        let isGreeted = false;
        socket.on('error', () => {});
        socket.on('data', (data) => {
          if (!isGreeted) socket.write('OK 1234\r\n');
          else {
            // Calls of several askers may come in one piece: each begins with "l", its type and no flags.
            for (let at = 0; at < data.length; ) {
              const fields = Math.ceil((16 + data.readUInt32LE(at + 12)) / 8) * 8;
              const end = at + fields + data.readUInt32LE(at + 4);
              const call = { serial: data.readUInt32LE(at + 8), text: data.toString('latin1', at, end), round, socket };
              const bytes = answer(call);
              if (bytes !== undefined) socket.write(bytes);
              at = end;
            }
          }
          isGreeted = true;
        });
      });
      server.listen(path);
      await once(server, 'listening');
      using systemd = new Systemd({ socket: path, timeoutMs: 400 });
      try {
        await action(systemd, path);
      } finally {
        for (const socket of sockets) socket.destroy();
        server.close();
      }
    },
    { unsafeCleanup: true },
  );

const version = (call: Call): Buffer => reply(call, 'v', [{ signature: 's', value: '257' }]);
const failure = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'none',
    (error: unknown) => `${codeOf(error)}: ${messageOf(error)}`,
  );

test('a systemd that executes itself anew while it is looked for is found', (t) =>
  withPeer(
    (call) => (call.round < 3 ? void call.socket.destroy() : version(call)),
    async (systemd) => t.is(await systemd.version(), '257'),
  ));

test('one that never answers, refuses, or talks nonsense is told with what it did, in time', async (t) => {
  await withPeer(
    () => undefined,
    async (systemd) => t.regex(await failure(systemd.version()), /^deadline-exceeded: .*no answer in 0\.4 s/),
  );
  await withPeer(
    (call) => refusal(call, 'AccessDenied'),
    async (systemd) =>
      t.regex(await failure(systemd.stopUnit('a.scope')), /^failed-precondition: systemd: a\.scope.*: no/),
  );
  await withPeer(
    () => Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
    async (systemd) => t.regex(await failure(systemd.stopUnit('a.scope')), /^unavailable: .*no little-endian message/),
  );
});

test('the end of a job may come before the answer that names it', (t) =>
  withPeer(
    (call) => Buffer.concat([removed('other.scope', '/1'), removed('a.scope', '/1'), reply(call, 'o', ['/1'])]),
    async (systemd) => t.is(await failure(systemd.stopUnit('a.scope')), 'none'),
  ));

test('two who wait for the same job of a unit both hear of its end', (t) => {
  let asked = 0;
  return withPeer(
    (call) => {
      asked += 1;
      return Buffer.concat([reply(call, 'o', ['/1']), ...(asked === 2 ? [removed('a.scope', '/1')] : [])]);
    },
    async (systemd) => {
      const both = [systemd.stopUnit('a.scope'), systemd.stopUnit('a.scope')].map(failure);
      t.deepEqual(await Promise.all(both), ['none', 'none']);
    },
  );
});

test('a call that cannot be written fails by itself, and leaves nothing that fails later', (t) =>
  withPeer(version, async (_, path) => {
    const connection = await BusConnection.open(path, 400);
    const call = { path: '/a', interface: 'a.b', member: 'C', signature: 's', body: ['\0'] };
    t.regex(await failure(connection.call(call, 20)), /^internal: D-Bus/);
    const late: unknown[] = [];
    const hear = (error: unknown): void => void late.push(error);
    process.prependListener('unhandledRejection', hear);
    await delay(60);
    process.removeListener('unhandledRejection', hear);
    t.deepEqual(late, []);
    connection.close();
  }));
