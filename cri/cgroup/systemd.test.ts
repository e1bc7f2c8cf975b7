import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { BusConnection } from './dbus/connection.ts';
import { marshal, type Value } from './dbus/marshal.ts';
import { type Message, MessageParser } from './dbus/message.ts';
import { Systemd } from './systemd.ts';

/** A message to the client: a reply (2), an error (3) or a signal (4). */
const message = (type: number, fields: readonly Value[], signature: string, body: readonly Value[]): Buffer => {
  const bytes = marshal(signature, body);
  const all = [...fields, ...(signature === '' ? [] : [[8, { signature: 'g', value: signature }]])];
  const head = marshal('yyyyuua(yv)', [0x6c, type, 0, 1, bytes.length, 1, all]);
  return Buffer.concat([head, Buffer.alloc((8 - (head.length % 8)) % 8), bytes]);
};

const reply = (to: number, signature = '', body: readonly Value[] = []): Buffer =>
  message(2, [[5, { signature: 'u', value: to }]], signature, body);
const failure = (to: number, name: string): Buffer =>
  message(
    3,
    [
      [5, { signature: 'u', value: to }],
      [4, { signature: 's', value: `org.freedesktop.systemd1.${name}` }],
    ],
    's',
    ['it says why'],
  );
const removed = (job: string, unit: string, result = 'done'): Buffer =>
  message(4, [[3, { signature: 's', value: 'JobRemoved' }]], 'uoss', [1, job, unit, result]);

/** Two calls may come in one piece. D-Bus Specification, "Message Format": length of the body at 4, of the header's fields at 12. */
const wholeMessages = (chunk: Buffer): readonly Buffer[] => {
  if (chunk.length === 0) return [];
  const length = Math.ceil((16 + chunk.readUInt32LE(12)) / 8) * 8 + chunk.readUInt32LE(4);
  return [chunk.subarray(0, length), ...wholeMessages(chunk.subarray(length))];
};

type Answer = (call: Message, serial: number, socket: Socket) => void;

/** A service manager that answers as it is told. */
const withManager = (
  answer: Answer,
  action: (systemd: Systemd, path: string) => Promise<void>,
  timeoutMs = 20_000,
): Promise<void> =>
  withDir(
    async ({ path }) => {
      const server = createServer((socket) => {
        const parser = new MessageParser();
        let greeted = false;
        socket.on('error', () => undefined);
        socket.on('data', (chunk) => {
          if (!greeted) socket.write('OK 0123\r\n');
          else
            for (const bytes of wholeMessages(chunk))
              for (const call of parser.push(bytes)) answer(call, bytes.readUInt32LE(8), socket);
          greeted = true;
        });
      });
      const at = join(path, 's');
      await new Promise<void>((resolve) => void server.listen(at, resolve));
      using systemd = new Systemd({ socket: at, timeoutMs, idleMs: 50 });
      try {
        await action(systemd, at);
      } finally {
        server.close();
      }
    },
    { unsafeCleanup: true },
  );

const never = async (): Promise<boolean> => false;

test('a scope is there when its job is done, also when that is told together with the answer', (t) =>
  withManager(
    (call, serial, socket) => {
      t.is(call.member, 'StartTransientUnit');
      socket.write(Buffer.concat([removed('/job/9', 'a.scope'), reply(serial, 'o', ['/job/9'])]));
    },
    async (systemd) => {
      await systemd.startScope('a.scope', [], never);
    },
  ));

test('a job that fails, one that never ends, and an error are told in words', async (t) => {
  await withManager(
    (_, serial, socket) =>
      void socket.write(Buffer.concat([reply(serial, 'o', ['/j']), removed('/j', 'a.scope', 'failed')])),
    async (systemd) =>
      void (await t.throwsAsync(systemd.startScope('a.scope', [], never), { message: /a\.scope: .*result is failed/ })),
  );
  await withManager(
    (_, serial, socket) => void socket.write(Buffer.concat([reply(serial, 'o', ['/j']), removed('/other', 'a.scope')])),
    async (systemd) =>
      void (await t.throwsAsync(systemd.startScope('a.scope', [], never), { message: /job is not done in 0\.3 s/ })),
    300,
  );
  await withManager(
    (_, serial, socket) => void socket.write(failure(serial, 'BadUnitSetting')),
    async (systemd) =>
      void (await t.throwsAsync(systemd.startScope('a.scope', [], never), {
        message: /StartTransientUnit: it says why/,
      })),
  );
});

test('a connection that is lost in a call is made again, and the call with it', async (t) => {
  let calls = 0;
  await withManager(
    (_, serial, socket) => {
      calls += 1;
      if (calls < 3) socket.destroy();
      else socket.write(Buffer.concat([reply(serial, 'o', ['/j']), removed('/j', 'a.scope')]));
    },
    (systemd) => systemd.startScope('a.scope', [], never),
  );
  t.is(calls, 3);
});

test('a unit that is there already is the one that is wanted, or is cleared away', async (t) => {
  const asked: string[] = [];
  const answer: Answer = (call, serial, socket) => {
    asked.push(call.member);
    if (call.member === 'ResetFailedUnit') socket.write(reply(serial));
    else if (call.member === 'StartTransientUnit' && asked.length === 1) socket.write(failure(serial, 'UnitExists'));
    else socket.write(Buffer.concat([reply(serial, 'o', ['/j']), removed('/j', 'a.scope')]));
  };
  await withManager(answer, (systemd) => systemd.startScope('a.scope', [], never));
  t.deepEqual(asked, ['StartTransientUnit', 'ResetFailedUnit', 'StopUnit', 'StartTransientUnit']);
  asked.length = 0;
  await withManager(answer, (systemd) => systemd.startScope('a.scope', [], async () => true));
  t.deepEqual(asked, ['StartTransientUnit']);
});

test('a scope whose slice is being stopped is made when that is through', async (t) => {
  let calls = 0;
  await withManager(
    (_, serial, socket) => {
      calls += 1;
      if (calls < 4) socket.write(failure(serial, 'TransactionIsDestructive'));
      else socket.write(Buffer.concat([reply(serial, 'o', ['/j']), removed('/j', 'a.scope')]));
    },
    (systemd) => systemd.startScope('a.scope', [], never),
  );
  t.is(calls, 4);
});

test('a unit that is gone takes no properties, and has been stopped', (t) =>
  withManager(
    (_, serial, socket) => void socket.write(failure(serial, 'NoSuchUnit')),
    async (systemd) => {
      t.false(await systemd.setProperties('a.scope', [['TasksMax', 't', 1n]]));
      await t.notThrowsAsync(systemd.stopUnit('a.scope'));
    },
  ));

test('properties are set when systemd takes the next call: it answers the one before it has written the files', async (t) => {
  const asked: string[] = [];
  let written = false;
  const answer: Answer = (call, serial, socket) => {
    asked.push(call.member);
    if (call.member === 'SetUnitProperties') socket.write(reply(serial));
    else
      setTimeout(() => {
        written = true;
        socket.write(reply(serial));
      }, 30);
  };
  await withManager(answer, async (systemd) => {
    t.true(await systemd.setProperties('a.scope', [['TasksMax', 't', 1n]]));
    t.true(written);
  });
  t.deepEqual(asked, ['SetUnitProperties', 'Ping']);
});

test('two who wait for the same job of a unit both hear of its end', (t) => {
  let asked = 0;
  return withManager(
    (_, serial, socket) => {
      asked += 1;
      socket.write(reply(serial, 'o', ['/j']));
      if (asked === 2) socket.write(removed('/j', 'a.scope'));
    },
    async (systemd) => {
      const both = await Promise.allSettled([
        systemd.stopUnit('a.scope'),
        delay(20).then(() => systemd.stopUnit('a.scope')),
      ]);
      t.deepEqual(
        both.map(({ status }) => status),
        ['fulfilled', 'fulfilled'],
      );
    },
  );
});

test('one that talks nonsense is told with what it did', (t) =>
  withManager(
    (_, __, socket) => void socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'),
    async (systemd) => void (await t.throwsAsync(systemd.stopUnit('a.scope'), { message: /no little-endian message/ })),
  ));

test('a call that cannot be written fails by itself, and leaves nothing that fails later', (t) =>
  withManager(
    () => undefined,
    async (_, path) => {
      const connection = await BusConnection.open(path, 20_000);
      const call = { path: '/a', interface: 'a.b', member: 'C', signature: 's', body: ['\0'] };
      await t.throwsAsync(connection.call(call, 20), { message: /D-Bus/ });
      const late: unknown[] = [];
      const hear = (error: unknown): void => void late.push(error);
      process.prependListener('unhandledRejection', hear);
      await delay(60);
      process.removeListener('unhandledRejection', hear);
      t.deepEqual(late, []);
      connection.close();
    },
  ));
