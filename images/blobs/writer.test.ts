import { type FileHandle, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { dir } from 'tmp-promise';
import { spendable, spent } from './spent.ts';
import { BlobWriter } from './writer.ts';

const chunksOf = (count: number): Buffer[] =>
  Array.from({ length: count }, (_, i) => Buffer.alloc(1 + (i % 700), `${i} `));

test('thousands of chunks that come faster than they are written are in the file in their order', async (t) => {
  const { path, cleanup } = await dir({ unsafeCleanup: true });
  const chunks = chunksOf(5000);
  await using writer = await BlobWriter.create(join(path, 'temporary'));
  await Promise.all(chunks.map((chunk) => writer.write(chunk)));
  await writer.commit(join(path, 'blob'), Buffer.concat(chunks).length);
  t.true((await readFile(join(path, 'blob'))).equals(Buffer.concat(chunks)));
  await cleanup();
});

test('a file that has the beginning gets the rest alone', async (t) => {
  const { path, cleanup } = await dir({ unsafeCleanup: true });
  const chunks = chunksOf(50);
  const begun = await BlobWriter.create(join(path, 'temporary'));
  for (const chunk of chunks.slice(0, 20)) await begun.write(chunk);
  const left = (await begun.leave()) ?? '';
  const had = Buffer.concat(chunks.slice(0, 20)).length;
  await using writer = await BlobWriter.resume(left, had);
  for (const chunk of chunks) await writer.write(chunk);
  await writer.commit(join(path, 'blob'), Buffer.concat(chunks).length);
  t.true((await readFile(join(path, 'blob'))).equals(Buffer.concat(chunks)));
  await cleanup();
});

test('a chunk that nobody else needs is given back when it is written, and one that others need is not', async (t) => {
  const { path, cleanup } = await dir({ unsafeCleanup: true });
  await using writer = await BlobWriter.create(join(path, 'temporary'));
  const [one, two] = [spendable(Buffer.alloc(1 << 16, 'a')), spendable(Buffer.alloc(1 << 16, 'b'))];
  const foreign = Buffer.alloc(1 << 16, 'c');
  for (const chunk of [one, two, foreign]) await writer.write(chunk);
  spent(one);
  await writer.commit(join(path, 'blob'), 3 << 16);
  t.deepEqual([one.length, two.length, foreign.length], [0, 1 << 16, 1 << 16]);
  spent(two);
  t.is(two.length, 0);
  const written = await readFile(join(path, 'blob'), 'latin1');
  t.is(written, 'a'.repeat(1 << 16) + 'b'.repeat(1 << 16) + 'c'.repeat(1 << 16));
  await cleanup();
});

test('a file that lacks what came does not become a blob', async (t) => {
  const { path, cleanup } = await dir({ unsafeCleanup: true });
  await using writer = await BlobWriter.create(join(path, 'temporary'));
  await writer.write(Buffer.from('half'));
  await t.throwsAsync(writer.commit(join(path, 'blob'), 8), { message: /4 bytes were written where 8 came/ });
  await t.throwsAsync(readFile(join(path, 'blob')), { code: 'ENOENT' });
  await cleanup();
});

test.serial('while what was written is sent to the disk more is taken, and the commit waits for it', async (t) => {
  const { path, cleanup } = await dir({ unsafeCleanup: true });
  await using other = await open(path);
  const prototype: FileHandle = Object.getPrototypeOf(other);
  const slow = Promise.withResolvers<void>();
  const { datasync } = prototype;
  prototype.datasync = () => slow.promise;
  try {
    await using writer = await BlobWriter.create(join(path, 'temporary'));
    const chunk = Buffer.alloc(1 << 20, 'x');
    for (let i = 0; i < 40; i += 1) await writer.write(chunk);
    let isDone = false;
    const committing = writer.commit(join(path, 'blob'), 40 << 20).then(() => {
      isDone = true;
    });
    await readFile(join(path, 'temporary'));
    t.false(isDone);
    slow.resolve();
    await committing;
    t.is((await readFile(join(path, 'blob'))).length, 40 << 20);
  } finally {
    slow.resolve();
    prototype.datasync = datasync;
  }
  await cleanup();
});
