import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { withDir } from 'tmp-promise';
import { type Agent, SELF } from '../../shim/agent.ts';
import type { Log } from '../log.ts';
import { ContainersDisk } from './disk.ts';

const program = fileURLToPath(new URL('../../shim/native/berth-shim', import.meta.url));
const KiB = 1024;

/** The real program's walks of real directories, told one by one; `fails` makes the next ones fail. */
const withDisk = (body: (at: Awaited<ReturnType<typeof setUp>>) => Promise<void>): Promise<void> =>
  withDir(async ({ path }) => body(await setUp(path)), { unsafeCleanup: true });

const setUp = async (root: string) => {
  const walks: string[][] = [];
  const state = { fails: false };
  const warnings: string[] = [];
  const write = async (id: string, bytes: number): Promise<void> => {
    await mkdir(join(root, 'containers', id), { recursive: true });
    await writeFile(join(root, 'containers', id, 'file'), Buffer.alloc(bytes));
  };
  const run = async ({ argv: [self, ...args] }: { readonly argv: readonly string[] }) => {
    walks.push(args.slice(3).map((each) => each.slice(each.lastIndexOf('/') + 1)));
    if (state.fails) throw new Error('the agent has gone');
    return promisify(execFile)(self === SELF ? program : (self ?? ''), args, { encoding: 'buffer' });
  };
  await mkdir(join(root, 'containers'));
  await mkdir(join(root, 'images'));
  const warn = (_fields: object, message: string): void => void warnings.push(message);
  const stopping = new AbortController();
  const open = () =>
    ContainersDisk.open(root, { run } as unknown as Agent, { warn } as unknown as Log, stopping.signal);
  return { disk: await open(), walks, warnings, state, write, stop: () => stopping.abort() };
};

const has = (t: ExecutionContext, disk: ContainersDisk, id: string, bytes: number): void => {
  const found = disk.of(id)?.bytes ?? Number.NaN;
  t.true(found >= bytes && found < bytes + 64 * KiB, `${id}: ${found}`);
};

test('who asks right behind a walk has the figure of a container that came since, and all together count it', (t) =>
  withDisk(async ({ disk, walks, write }) => {
    await write('one', 100 * KiB);
    await disk.settle(['one']);
    has(t, disk, 'one', 100 * KiB);
    for (const id of ['two', 'three']) await write(id, 200 * KiB);
    await disk.settle(['one', 'two', 'three']);
    has(t, disk, 'two', 200 * KiB);
    has(t, disk, 'three', 200 * KiB);
    t.true(disk.usage().bytes >= 500 * KiB);
    t.deepEqual(walks, [['one'], ['two', 'three']]);
  }));

test('a container has one walk of its own, also for many who ask at once; what has gone counts as nothing', (t) =>
  withDisk(async ({ disk, walks, write }) => {
    await write('one', 1);
    await disk.settle(['one']);
    await write('two', 1);
    await Promise.all([disk.settle(['two', 'none']), disk.settle(['two']), disk.settle(['none', 'two'])]);
    await disk.settle(['none']);
    has(t, disk, 'two', 1);
    t.is(disk.of('none')?.bytes, 0);
    t.deepEqual(walks, [['one'], ['two', 'none']]);
  }));

test('a walk that fails is told, and nobody who asks fails', (t) =>
  withDisk(async ({ disk, walks, warnings, state, write }) => {
    await write('one', 1);
    await disk.settle(['one']);
    await write('two', 1);
    state.fails = true;
    await disk.settle(['two']);
    t.is(disk.of('two'), undefined);
    t.is(walks.length, 2);
    t.deepEqual(warnings, ['measuring writable layers failed']);
  }));

test('a daemon that ends begins no walk', (t) =>
  withDisk(async ({ disk, walks, write, stop }) => {
    await write('one', 1);
    stop();
    await disk.settle(['one']);
    t.is(disk.of('one'), undefined);
    t.deepEqual(walks, []);
  }));
