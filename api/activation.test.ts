import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { BerthError } from '../base/errors.ts';
import { inheritedSockets, isBoundAt, isBoundBy, parseUnixSockets } from './activation.ts';

const table = `Num       RefCount Protocol Flags    Type St Inode Path
ffff8880048ff800: 00000002 00000000 00010000 0001 01 1542 /run/berth/berth.sock
ffff8880048ff801: 00000002 00000000 00010000 0005 01 1543 /run/udev/control
ffff8880048ff802: 00000003 00000000 00000000 0001 03 1544 /run/berth/berth.sock
ffff8880048ff803: 00000002 00000000 00010000 0001 01  900 @abstract
ffff8880048ff804: 00000002 00000000 00010000 0001 01 77 /run/a name
ffff8880048ff805: 00000003 00000000 00000000 0002 01 78
`;

test('of all unix sockets only stream sockets that listen at a path can be inherited', (t) => {
  t.deepEqual(
    [...parseUnixSockets(table)],
    [
      ['1542', '/run/berth/berth.sock'],
      ['77', '/run/a name'],
    ],
  );
});

test('descriptors that were meant for another process are left alone', async (t) => {
  t.deepEqual(await inheritedSockets({}), []);
  t.deepEqual(await inheritedSockets({ LISTEN_FDS: '1', LISTEN_PID: '1' }), []);
  t.deepEqual(await inheritedSockets({ LISTEN_FDS: '1' }), []);
  t.deepEqual(await inheritedSockets({ LISTEN_FDS: '0', LISTEN_PID: `${process.pid}` }), []);
});

const refusal = async (env: NodeJS.ProcessEnv): Promise<string> => {
  const error = await inheritedSockets({ LISTEN_PID: `${process.pid}`, ...env }).catch((cause: unknown) => cause);
  return error instanceof BerthError ? `${error.code}: ${error.message}` : 'not refused';
};

test('a count that is no number, and a descriptor that is not there, are refused with their text', async (t) => {
  t.regex(await refusal({ LISTEN_FDS: '-1' }), /^failed-precondition: socket activation: LISTEN_FDS is "-1"/);
  t.regex(await refusal({ LISTEN_FDS: '999' }), /descriptor \d+/);
});

/** A process that is given `stdio` and says what it has inherited. */
const heir = async (input: object, listen: string): Promise<string> => {
  const program = `
    process.env.LISTEN_PID = String(process.pid);
    const { inheritedSockets } = await import(${JSON.stringify(new URL('./activation.js', import.meta.url).href)});
    process.stdout.write(await inheritedSockets().then(JSON.stringify, (error) => error.message));`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    env: { ...process.env, LISTEN_FDS: listen },
    stdio: ['ignore', 'pipe', 'inherit', input as never],
  });
  let text = '';
  child.stdout?.on('data', (data) => {
    text += data;
  });
  await once(child, 'close');
  return text;
};

test('an inherited socket is told with the path that it was bound to; a file in its place is refused', (t) =>
  withDir(
    async ({ path: directory }) => {
      const path = join(directory, 'b.sock');
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(path, resolve));
      t.is(await heir((server as never as { _handle: object })._handle, '1'), JSON.stringify([{ fd: 3, path }]));
      server.close();
      t.regex(await heir(process.stderr, '1'), /descriptor 3 .* is no listening unix stream socket/);
    },
    { unsafeCleanup: true },
  ));

test('a socket that is reached through a link, as /run is through /var/run, is the inherited one', (t) =>
  withDir(
    async ({ path }) => {
      await mkdir(join(path, 'run/berth'), { recursive: true });
      await symlink('run', join(path, 'link'));
      const inherited = [{ fd: 3, path: join(path, 'run/berth/berth.sock') }];
      t.true(await isBoundAt(inherited, join(path, 'link/berth/berth.sock')));
      t.true(await isBoundAt(inherited, join(path, 'run/berth/berth.sock')));
      t.false(await isBoundAt(inherited, join(path, 'run/berth/other.sock')));
      t.true(await isBoundAt([{ fd: 3, path: '/missing/a' }], '/missing/a'));
      t.false(await isBoundAt([], '/missing/a'));
    },
    { unsafeCleanup: true },
  ));

test('of what a process holds a socket at the path counts, also through a link; paths that cannot be followed hinder nothing', async (t) => {
  await withDir(
    async ({ path }) => {
      await mkdir(join(path, 'own'));
      await symlink(join(path, 'own'), join(path, 'link'));
      await writeFile(join(path, 'file'), '');
      const places = { 1: 'own/s', 2: 'file/below/s', 3: 'own/other' };
      const sockets = new Map(Object.entries(places).map(([inode, name]) => [inode, join(path, name)]));
      const isBound = (...targets: string[]) => isBoundBy(targets, sockets, join(path, 'link/s'));
      t.true(await isBound('/dev/null', 'socket:[2]', 'socket:[1]'));
      t.false(await isBound('/dev/null', 'socket:[2]', 'socket:[3]', 'socket:[4]', ''));
    },
    { unsafeCleanup: true },
  );
});
