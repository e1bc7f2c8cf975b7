import { once } from 'node:events';
import { chmod, mkdir, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { BerthError } from '../base/errors.ts';
import { socketPath } from './address.ts';
import { listen } from './listen.ts';

const inDirectory = (action: (directory: string) => Promise<void>): Promise<void> =>
  withDir(({ path }) => action(path), { prefix: 'berth-listen-', unsafeCleanup: true });

const refusal = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise;
  } catch (error) {
    return error instanceof BerthError ? `${error.code}: ${error.message}` : String(error);
  }
  return 'not refused';
};

/** Leaves a socket behind that nobody listens on, as a daemon does that was killed. */
const leaveStale = async (path: string): Promise<void> => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(`${path}.live`, resolve));
  await rename(`${path}.live`, path);
  await new Promise((resolve) => server.close(resolve));
};

const greet =
  (text: string) =>
  (socket: Socket): void => {
    socket.on('error', () => {});
    socket.end(text);
  };

const mode = async (path: string): Promise<string> => ((await stat(path)).mode & 0o7777).toString(8);

test('the directory is made 0700 and the socket 0600, under any umask', (t) =>
  inDirectory(async (directory) => {
    const before = process.umask(0);
    try {
      const path = join(directory, 'a/b/berth.sock');
      const server = await listen(path, () => {});
      t.deepEqual(
        [await mode(join(directory, 'a')), await mode(join(directory, 'a/b')), await mode(path)],
        ['700', '700', '600'],
      );
      t.is(process.umask(), 0);
      server.close();
    } finally {
      process.umask(before);
    }
  }));

test('a stale socket is replaced', (t) =>
  inDirectory(async (directory) => {
    const path = join(directory, 'berth.sock');
    await leaveStale(path);
    t.true((await stat(path)).isSocket());
    const server = await listen(path, greet('new'));
    const answer = await new Promise((resolve) => connect(path).once('data', (data) => resolve(String(data))));
    t.is(answer, 'new');
    server.close();
  }));

test('a live socket is refused and goes on to live', (t) =>
  inDirectory(async (directory) => {
    const path = join(directory, 'berth.sock');
    const server = await listen(path, greet('first'));
    t.regex(await refusal(listen(path, () => {})), /^failed-precondition: listen on .*another process answers there/);
    const answer = await new Promise((resolve) => connect(path).once('data', (data) => resolve(String(data))));
    t.is(answer, 'first');
    server.close();
  }));

test("a file, a directory or a link in the socket's place is refused and stays", (t) =>
  inDirectory(async (directory) => {
    const [file, folder, linked] = ['file', 'folder', 'linked'].map((name) => join(directory, name)) as [
      string,
      string,
      string,
    ];
    await writeFile(file, 'precious');
    await mkdir(folder);
    await symlink(file, linked);
    for (const path of [file, folder, linked])
      t.regex(await refusal(listen(path, () => {})), /^failed-precondition: .*not a socket/);
    t.is((await stat(file)).size, 8);
  }));

test('a directory that others can write is refused with what to do', (t) =>
  inDirectory(async (directory) => {
    await chmod(directory, 0o777);
    t.regex(await refusal(listen(join(directory, 's'), () => {})), /mode 777\): chmod 0700 it$/);
  }));

test('a path of 107 bytes is accepted, one of 108 is refused with the length allowed', (t) => {
  t.is(socketPath(`unix:///${'a'.repeat(106)}`).length, 107);
  const error = t.throws(() => socketPath(`unix:///${'ü'.repeat(53)}a`), { instanceOf: BerthError });
  t.regex(error.message, /has 108 bytes, a socket's can have 107/);
});

test('an address that is not unix:///absolute is refused', (t) => {
  for (const address of ['', 'unix://a', 'tcp://1.2.3.4:5', 'unix:///dir/', 'relative', 'unix:///a\0b'])
    t.is(t.throws(() => socketPath(address), { instanceOf: BerthError }).code, 'invalid-argument');
});

test('a thousand who come in one moment are all taken', (t) =>
  inDirectory(async (directory) => {
    const path = join(directory, 'socket');
    const server = await listen(path, greet('hello'));
    const clients = Array.from({ length: 1000 }, () => connect(path));
    await t.notThrowsAsync(Promise.all(clients.map((client) => once(client, 'data'))));
    for (const client of clients) client.destroy();
    await new Promise((resolve) => server.close(resolve));
  }));
