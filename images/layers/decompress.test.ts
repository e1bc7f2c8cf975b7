import { randomBytes } from 'node:crypto';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import test from 'ava';
import { BerthError } from '../../base/errors.ts';
import { decompressed } from './decompress.ts';

const plain = Buffer.concat([randomBytes(300_000), Buffer.alloc(700_000, 'text ')]);

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const whole = async (bytes: Buffer, size = 65_536): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const chunk of decompressed(inPieces(bytes, size), 'layer x')) chunks.push(chunk);
  return Buffer.concat(chunks);
};

const gzip = gzipSync(plain);

for (const [name, bytes] of [
  ['gzip', gzip],
  ['zstd', zstdCompressSync(plain)],
  ['plain', plain],
  [
    'zstd behind a skippable frame',
    Buffer.concat([Buffer.from('502a4d1804000000aaaaaaaa', 'hex'), zstdCompressSync(plain)]),
  ],
] as const)
  test(`${name} is told by its first bytes`, async (t) => {
    t.deepEqual(await whole(bytes), plain);
  });

test('zstd of many frames with skippable ones between is one stream, however it is cut', async (t) => {
  const skippable = Buffer.from('5f2a4d1805000000bbbbbbbbbb', 'hex');
  const pieces = [0, 1, 200_000, 300_000].map((at, i, all) => plain.subarray(at, all[i + 1] ?? plain.length));
  const frames = pieces.flatMap((piece) => [
    zstdCompressSync(piece, { params: { [constants.ZSTD_c_checksumFlag]: 1 } }),
    skippable,
    zstdCompressSync(Buffer.alloc(0)),
  ]);
  const bytes = Buffer.concat(frames);
  for (const size of [bytes.length, 65_536, 1021, 7]) t.deepEqual(await whole(bytes, size), plain, `${size}`);
});

test('gzip of two members is one stream', async (t) => {
  const bytes = Buffer.concat([gzipSync(plain.subarray(0, 1000)), gzipSync(plain.subarray(1000))]);
  t.deepEqual(await whole(bytes), plain);
});

test('chunks of one byte make no difference', async (t) => {
  const short = plain.subarray(299_000, 301_000);
  t.deepEqual(await whole(gzipSync(short), 1), short);
});

test('nothing is an empty stream', async (t) => {
  t.is((await whole(Buffer.alloc(0))).length, 0);
});

for (const [name, bytes] of [
  ['a truncated gzip', gzip.subarray(0, -10)],
  ['a truncated zstd', zstdCompressSync(plain).subarray(0, -10)],
  [
    'a gzip with a flipped byte',
    Buffer.concat([gzip.subarray(0, 5000), Buffer.from('x'), gzip.subarray(5001, -8), Buffer.alloc(8)]),
  ],
  ['a zstd cut between two blocks', zstdCompressSync(plain).subarray(0, 131_084)],
  ['garbage behind a zstd', Buffer.concat([zstdCompressSync(plain), Buffer.alloc(100, 'x')])],
  ['three bytes behind a zstd', Buffer.concat([zstdCompressSync(plain), Buffer.from([0x28, 0xb5, 0x2f])])],
  ['garbage behind a gzip', Buffer.concat([gzip, Buffer.alloc(100_000, 'x')])],
] as const)
  test(`${name} is data loss`, async (t) => {
    const error = await t.throwsAsync(whole(bytes), {
      instanceOf: BerthError,
      message: /^layer x: cannot be decompressed/,
    });
    t.is(error?.code, 'data-loss');
  });

test('an error of the source comes through as it is', async (t) => {
  async function* failing(): AsyncGenerator<Buffer> {
    yield gzip.subarray(0, 1000);
    throw new BerthError('unavailable', 'cut');
  }
  await t.throwsAsync(
    async () => {
      for await (const _ of decompressed(failing(), 'layer x'));
    },
    { message: 'cut' },
  );
});

test('a reader that stops early ends the source', async (t) => {
  let hasEnded = false;
  async function* source(): AsyncGenerator<Buffer> {
    try {
      for (;;) yield Buffer.alloc(100_000, 'plain');
    } finally {
      hasEnded = true;
    }
  }
  for await (const _ of decompressed(source(), 'layer x')) break;
  t.true(hasEnded);
});
