import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { dir } from 'tmp-promise';
import { BerthError } from '../../base/errors.ts';
import { readTar } from './tar-reader.ts';
import { tarEnd, tarFill, tarHeader } from './tar-writer.ts';

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield Buffer.from(bytes.subarray(at, at + size));
}

const read = async (archive: Uint8Array, size = 777): Promise<[string, string, string][]> => {
  const entries: [string, string, string][] = [];
  for await (const { path, type, link, body } of readTar(pieces(archive, size), 'archive')) {
    const chunks: Buffer[] = [];
    for await (const chunk of body) chunks.push(chunk);
    entries.push([path, type, type === 'file' ? Buffer.concat(chunks).toString() : link]);
  }
  return entries;
};

const failure = async (archive: Uint8Array): Promise<string> =>
  read(archive).then(
    () => 'read',
    (error: unknown) =>
      error instanceof BerthError ? `${error.code}: ${error.message}` : `not ours: ${String(error)}`,
  );

const file = (path: string, data: string): Buffer =>
  Buffer.concat([tarHeader({ path, size: data.length }), Buffer.from(data), tarFill(data.length)]);

test('what is written is read again, and by GNU tar: long names, directories, sizes beyond eight gigabytes', async (t) => {
  const long = `blobs/sha512/${'a'.repeat(128)}`;
  const archive = Buffer.concat([
    tarHeader({ path: 'blobs' }),
    file(long, 'long'),
    file('short', 's'.repeat(1000)),
    tarEnd,
  ]);
  t.deepEqual(await read(archive), [
    ['blobs', 'directory', ''],
    [long, 'file', 'long'],
    ['short', 'file', 's'.repeat(1000)],
  ]);
  const listed = execFileSync('tar', ['-tvf', '-'], { input: archive, encoding: 'utf8' });
  t.regex(listed, /^drwxr-xr-x 0\/0 +0 1970-01-01 00:00 blobs\/\n-rw-r--r-- 0\/0 +4 .*a{128}\n.* 1000 .* short\n$/);
  const huge = tarHeader({ path: 'huge', size: 9 * 2 ** 30 });
  const sizes: number[] = [];
  const reading = async (): Promise<void> => {
    for await (const { size } of readTar(pieces(huge, 512), 'archive')) sizes.push(size);
  };
  await t.throwsAsync(reading(), { message: /is cut/ });
  t.deepEqual(sizes, [9 * 2 ** 30]);
});

test('archives of GNU tar in each of its formats are read, with long names and links', async (t) => {
  const { path: at, cleanup } = await dir({ prefix: 'bt-tar-', unsafeCleanup: true });
  const name = `${'d'.repeat(90)}/${'f'.repeat(90)}`;
  mkdirSync(join(at, 'd'.repeat(90)));
  writeFileSync(join(at, name), 'content');
  execFileSync('ln', ['-s', name, join(at, 'symlink')]);
  execFileSync('ln', [join(at, name), join(at, 'hardlink')]);
  try {
    for (const format of ['gnu', 'oldgnu', 'pax', 'posix']) {
      const args = ['-C', at, `--format=${format}`, '-cf', '-', `./${name}`, 'symlink', 'hardlink'];
      t.deepEqual(
        await read(execFileSync('tar', args)),
        [
          [name, 'file', 'content'],
          ['symlink', 'symlink', name],
          ['hardlink', 'hardlink', `./${name}`],
        ],
        format,
      );
    }
    const ustar = execFileSync('tar', ['-C', at, '--format=ustar', '-cf', '-', name]);
    t.deepEqual(await read(ustar), [[name, 'file', 'content']]);
  } finally {
    await cleanup();
  }
});

test('what is not read of an entry is skipped', async (t) => {
  const archive = Buffer.concat([file('a', 'x'.repeat(5000)), file('b', 'y'), tarEnd]);
  const paths: string[] = [];
  for await (const { path } of readTar(pieces(archive, 100), 'archive')) paths.push(path);
  t.deepEqual(paths, ['a', 'b']);
});

test('bytes behind the end, endless padding and endless headers are refused', async (t) => {
  const whole = Buffer.concat([file('a', 'x'), tarEnd]);
  t.is((await read(Buffer.concat([whole, Buffer.alloc(10_240)]))).length, 1);
  t.regex(await failure(Buffer.concat([whole, file('b', 'x')])), /^invalid-argument: .*more bytes behind its end/);
  t.regex(await failure(Buffer.concat([whole, Buffer.alloc((16 << 20) + 512)])), /^invalid-argument: .*behind its end/);
  const pax = Buffer.from(tarHeader({ path: 'pax', size: 1 << 20 }));
  pax[156] = 'x'.charCodeAt(0);
  pax.write('        ', 148);
  pax.write(
    `${pax
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, '0')}\0 `,
    148,
  );
  t.regex(
    await failure(Buffer.concat([pax, Buffer.alloc(1 << 20)])),
    /^resource-exhausted: .*a header of 1048576 bytes/,
  );
});

test('an archive with random bytes in it is read or refused in words', async (t) => {
  const whole = Buffer.concat([
    tarHeader({ path: 'blobs' }),
    file(`blobs/${'a'.repeat(150)}`, 'x'.repeat(700)),
    file('b', 'y'),
    tarEnd,
  ]);
  let state = 20261122;
  const below = (limit: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
  let refused = 0;
  for (let round = 0; round < 3000; round += 1) {
    const bytes = Buffer.from(whole);
    for (let count = 1 + below(4); count > 0; count -= 1) bytes[below(bytes.length)] = below(256);
    const outcome = await failure(bytes.subarray(0, below(4) === 0 ? below(bytes.length) : bytes.length));
    if (outcome === 'read') continue;
    refused += 1;
    t.regex(outcome, /^(invalid-argument|data-loss|resource-exhausted): archive/);
  }
  t.true(refused > 1000);
});
