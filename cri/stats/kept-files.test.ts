import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { KeptFiles, text } from './kept-files.ts';

const inDirectory = (action: (place: string) => void): Promise<void> =>
  withDir(async ({ path }) => action(path), { unsafeCleanup: true });

const openIn = (place: string): number => {
  const links = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return links.filter((link) => link.startsWith(`${place}/`)).length;
};

test('a kept file is opened once, gives what is in it now, and is closed when it is told to', (t) =>
  inDirectory((place) => {
    const paths = ['a', 'b', 'none'].map((name) => join(place, name));
    const [a = '', b = ''] = paths;
    const long = 'x'.repeat(5000);
    writeFileSync(a, 'one');
    writeFileSync(b, long);
    const room = { left: 2 };
    const files = new KeptFiles([...paths, ''], room);
    const read = (at: number): string | undefined => {
      const length = files.read(at);
      return length < 0 ? undefined : text.toString('latin1', 0, length);
    };
    t.deepEqual([read(0), read(1), read(2), read(3)], ['one', long, undefined, undefined]);
    t.deepEqual([openIn(place), room.left], [2, 0]);
    writeFileSync(a, 'other');
    t.is(read(0), 'other');
    files.closeFrom(1);
    t.deepEqual([openIn(place), room.left], [1, 1]);
    renameSync(b, a);
    t.is(read(0), 'other', 'it is the same file, whatever its name');
    files[Symbol.dispose]();
    t.deepEqual([openIn(place), room.left], [0, 2]);
    t.is(read(0), long);
    files[Symbol.dispose]();
  }));

test('without room a file is opened for each reading, and what is gone is not there', (t) =>
  inDirectory((place) => {
    const path = join(place, 'a');
    writeFileSync(path, 'one');
    const room = { left: 0 };
    const files = new KeptFiles([path], room);
    t.is(files.read(0), 3);
    t.deepEqual([openIn(place), room.left], [0, 0]);
    rmSync(path);
    t.is(files.read(0), -1);
  }));

test('a kept file of a process that has ended is looked for by its name again', async (t) => {
  const child = spawn('sleep', ['60']);
  const ended = once(child, 'exit');
  const room = { left: 1 };
  const files = new KeptFiles([`/proc/${child.pid}/limits`], room);
  t.true(files.read(0) > 100);
  t.is(room.left, 0);
  child.kill('SIGKILL');
  await ended;
  t.is(files.read(0), -1);
  t.is(room.left, 1, 'its descriptor is closed');
});
