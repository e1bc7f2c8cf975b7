import { mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { dir } from 'tmp-promise';
import { isDigest, isId, newId, parseDigest, sha256 } from './digest.ts';
import { BerthError, codeOf, errnoOf, within } from './errors.ts';
import { joinUnder, makePrivateDirectory, readJson, readLimited, removeTree, writeAtomic } from './files.ts';
import { Flights, KeyedLocks } from './locks.ts';
import { Rollback } from './rollback.ts';

const temporary = async (work: (path: string) => Promise<void>): Promise<void> => {
  const { path, cleanup } = await dir({ unsafeCleanup: true });
  try {
    await work(path);
  } finally {
    await cleanup();
  }
};

test('within keeps the code and puts the action in front', (t) => {
  const error = within('start container 3f', new BerthError('not-found', 'mount /proc: ENOENT'));
  t.is(error.message, 'start container 3f: mount /proc: ENOENT');
  t.is(error.code, 'not-found');
});

test('an error that is not ours is internal, an aborted one cancelled', (t) => {
  t.is(codeOf(new TypeError('x')), 'internal');
  t.is(codeOf(AbortSignal.abort().reason), 'cancelled');
});

test('writeAtomic replaces the file whole, sets its mode and leaves no temporary file', (t) =>
  temporary(async (path) => {
    const file = join(path, 'a.json');
    await writeAtomic(file, '{"a":1}');
    await writeAtomic(file, '{"a":2}', { mode: 0o640, durable: false });
    t.deepEqual(await readJson(file), { a: 2 });
    t.is((await stat(file)).mode & 0o777, 0o640);
    t.deepEqual(await readdir(path), ['a.json']);
  }));

test('writeAtomic into a directory that is missing fails and leaves nothing', (t) =>
  temporary(async (path) => {
    const error = await t.throwsAsync(writeAtomic(join(path, 'no/a'), 'x'));
    t.is(errnoOf(error), 'ENOENT');
    t.deepEqual(await readdir(path), []);
  }));

test('readLimited refuses a file over its limit and tells a missing one apart', (t) =>
  temporary(async (path) => {
    await writeFile(join(path, 'big'), 'x'.repeat(11));
    const error = await t.throwsAsync(readLimited(join(path, 'big'), 10), { instanceOf: BerthError });
    t.is(error.code, 'resource-exhausted');
    t.is(await readLimited(join(path, 'none'), 10), undefined);
  }));

test('readJson names the file that is not JSON', (t) =>
  temporary(async (path) => {
    await writeFile(join(path, 'x.json'), '{');
    await t.throwsAsync(readJson(join(path, 'x.json')), { message: /x\.json: not JSON/ });
  }));

test('removeTree takes a link away and not what it points to', (t) =>
  temporary(async (path) => {
    await mkdir(join(path, 'kept'));
    await writeFile(join(path, 'kept/file'), 'x');
    await symlink(join(path, 'kept'), join(path, 'link'));
    await removeTree(join(path, 'link'));
    t.is(await readFile(join(path, 'kept/file'), 'utf8'), 'x');
    await t.notThrowsAsync(removeTree(join(path, 'link')));
  }));

test('CVE-2021-41103: a directory that others may enter is closed at the start, a link in its place is refused', (t) =>
  temporary(async (path) => {
    await mkdir(join(path, 'open'), { mode: 0o755 });
    await makePrivateDirectory(join(path, 'open'));
    t.is((await stat(join(path, 'open'))).mode & 0o777, 0o700);
    await symlink(join(path, 'open'), join(path, 'link'));
    await t.throwsAsync(makePrivateDirectory(join(path, 'link')), { message: /not a directory of this user/ });
  }));

test('joinUnder refuses what leaves the root', (t) => {
  t.is(joinUnder('/a', 'b', 'c'), '/a/b/c');
  for (const bad of ['..', '../ab', 'b/../../c', '\0'])
    t.throws(() => joinUnder('/a', bad), { instanceOf: BerthError }, bad);
});

test('actions of one key run in order, those of two keys side by side, and the locks forget a key', async (t) => {
  const locks = new KeyedLocks();
  const gate = Promise.withResolvers<void>();
  const order: string[] = [];
  const first = locks.run('a', () => gate.promise.then(() => void order.push('a1')));
  const second = locks.run('a', async () => void order.push('a2'));
  await locks.run('b', async () => void order.push('b'));
  gate.resolve();
  await Promise.all([first, second]);
  t.deepEqual(order, ['b', 'a1', 'a2']);
  await Promise.resolve();
  t.is(locks.size, 0);
});

test('a failed action does not stop the next of its key', async (t) => {
  const locks = new KeyedLocks();
  const failed = locks.run('a', () => Promise.reject(new BerthError('internal', 'x')));
  t.is(await locks.run('a', async () => 7), 7);
  await t.throwsAsync(failed);
});

test('who joins a flight gets its result, and the next flight starts anew', async (t) => {
  const flights = new Flights<number>();
  let runs = 0;
  const action = async (): Promise<number> => {
    runs += 1;
    return runs;
  };
  t.deepEqual(await Promise.all([flights.join('a', action), flights.join('a', action)]), [1, 1]);
  t.is(await flights.join('a', action), 2);
});

test('a rollback undoes in reverse, goes on after an error, and does nothing when it was kept', async (t) => {
  const undone: string[] = [];
  const errors: string[] = [];
  const make = async (keep: boolean): Promise<void> => {
    await using rollback = new Rollback((name) => void errors.push(name));
    rollback.add('one', async () => undone.push('one'));
    rollback.add('two', () => Promise.reject(new BerthError('internal', 'x')));
    rollback.add('three', async () => undone.push('three'));
    if (keep) rollback.keep();
  };
  await make(true);
  t.deepEqual(undone, []);
  await make(false);
  t.deepEqual(undone, ['three', 'one']);
  t.deepEqual(errors, ['two']);
});

test('digests are checked as a whole', (t) => {
  t.true(isDigest(sha256('x')));
  for (const bad of ['sha256:ab', 'md5:00', `${sha256('x')} `, `SHA256:${'a'.repeat(64)}`])
    t.throws(() => parseDigest(bad));
  t.true(isId(newId()));
});
