import { chmod, mkdir, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { checkOwnDirectory } from './own-directory.ts';

test('a directory that others use is not taken for root or state, and stays as it is', (t) =>
  withDir(
    async ({ path }) => {
      await chmod(path, 0o755);
      for (const name of ['images', 'alice', 'bob', 'carol', 'dave']) await mkdir(join(path, name));
      const message =
        /^root: \S+ is open to others and holds "alice", "bob", "carol", …, which berthd did not put there/;
      await t.throwsAsync(checkOwnDirectory('root', path), { code: 'failed-precondition', message });
      await t.throwsAsync(checkOwnDirectory('state', path), { code: 'failed-precondition' });
      t.is((await stat(path)).mode & 0o777, 0o755);
    },
    { unsafeCleanup: true },
  ));

test('one that is empty, its own, a disk of its own, or private is taken', (t) =>
  withDir(
    async ({ path }) => {
      const open = join(path, 'open');
      await mkdir(open);
      await chmod(open, 0o755);
      await t.notThrowsAsync(checkOwnDirectory('root', open));
      for (const name of ['images', 'state', 'containers', 'cni', 'lost+found']) await mkdir(join(open, name));
      // systemd binds one before berthd's first start
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(join(open, 'other.sock'), resolve));
      await t.notThrowsAsync(checkOwnDirectory('root', open));
      await new Promise((resolve) => server.close(resolve));
      await writeFile(join(open, 'mine'), '');
      await chmod(open, 0o700);
      await t.notThrowsAsync(checkOwnDirectory('root', open));
      await t.notThrowsAsync(checkOwnDirectory('root', join(path, 'missing')));
    },
    { unsafeCleanup: true },
  ));
