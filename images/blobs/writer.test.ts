import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { dir } from 'tmp-promise';
import { BlobWriter } from './writer.ts';

const chunksOf = (count: number): Buffer[] =>
  Array.from({ length: count }, (_, i) => Buffer.alloc(1 + (i % 700), `${i} `));

test('thousands of chunks that come faster than they are written are in the file in their order', async (t) => {
  const { path, cleanup } = await dir({ unsafeCleanup: true });
  const chunks = chunksOf(5000);
  await using writer = await BlobWriter.create(join(path, 'temporary'));
  await Promise.all(chunks.map((chunk) => writer.write(chunk)));
  await writer.commit(join(path, 'blob'));
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
  await writer.commit(join(path, 'blob'));
  t.true((await readFile(join(path, 'blob'))).equals(Buffer.concat(chunks)));
  await cleanup();
});
