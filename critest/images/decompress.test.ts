import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { buffer, text } from 'node:stream/consumers';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import test from 'ava';
import { sourceTree } from '../harness/tree.ts';

const program = join(sourceTree, 'build/shim/native/berth-decompress');
/** Its output has to be a pipe, and Node's are sockets. */
const script = '{ "$0" "$1" 3>&2; echo " $?" >&2; } | cat';

interface Outcome {
  readonly plain: Buffer;
  readonly status: number;
  /** In hex; empty where it failed. */
  readonly digest: string;
}

/** Feeds the bytes in pieces of `size`. */
const decompress = async (bytes: Buffer, { size = 65_536, limit = 2 ** 40 } = {}): Promise<Outcome> => {
  const child = spawn('sh', ['-c', script, program, `${limit}`], { stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => undefined); // it may end before it has read all
  const outputs = Promise.all([buffer(child.stdout), text(child.stderr)]);
  for (let at = 0; at < bytes.length && child.stdin.writable; at += size) {
    child.stdin.write(bytes.subarray(at, at + size));
    if (size < 100) await new Promise((resolve) => setImmediate(resolve));
  }
  child.stdin.end();
  const [plain, told] = await outputs;
  const [digest = '', status] = told.trimEnd().split(' ');
  return { plain, status: Number(status), digest };
};

const plain = Buffer.concat([randomBytes(300_000), Buffer.alloc(700_000, 'text ')]);
const gzip = gzipSync(plain);
const zstd = zstdCompressSync(plain);
const skippable = Buffer.from('5f2a4d1805000000bbbbbbbbbb', 'hex');
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

const frames = [0, 1, 200_000, 300_000].flatMap((at, i, all) => [
  zstdCompressSync(plain.subarray(at, all[i + 1] ?? plain.length), {
    params: { [constants.ZSTD_c_checksumFlag]: 1 },
  }),
  skippable,
  zstdCompressSync(Buffer.alloc(0)),
]);

/** Of windows far smaller than the content and of others behind them, whose matches reach over the ends of a ring. */
const windows = [10, 17, 12, 20, 11].map((windowLog, i) =>
  zstdCompressSync(plain.subarray(i * 200_000, (i + 1) * 200_000), {
    params: { [constants.ZSTD_c_windowLog]: windowLog, [constants.ZSTD_c_contentSizeFlag]: i % 2 },
  }),
);

const good: Readonly<Record<string, Buffer>> = {
  gzip,
  zstd,
  'plain tar': plain,
  'zstd behind a skippable frame': Buffer.concat([skippable, zstd]),
  'zstd of many frames with skippable ones between, as zstd:chunked has them': Buffer.concat(frames),
  'zstd of frames with windows of a KiB to a MiB': Buffer.concat(windows),
  'gzip with zeros behind it': Buffer.concat([gzip, Buffer.alloc(600_000)]),
};

for (const [name, bytes] of Object.entries(good))
  test(`${name} gives what was compressed and its hash, however it is cut`, async (t) => {
    for (const size of [bytes.length, 65_536, 7919]) {
      const { status, digest, plain: found } = await decompress(bytes, { size });
      t.is(status, 0, `${size}`);
      t.is(digest, sha256(plain));
      t.true(found.equals(plain));
    }
  });

test('nothing is an empty stream, and three bytes are plain', async (t) => {
  t.deepEqual(await decompress(Buffer.alloc(0)), {
    plain: Buffer.alloc(0),
    status: 0,
    digest: sha256(Buffer.alloc(0)),
  });
  const three = Buffer.from([0x1f, 0x8b, 0x08]);
  t.is((await decompress(three)).digest, sha256(three));
});

test('chunks of one byte make no difference', async (t) => {
  const short = plain.subarray(299_800, 300_200);
  for (const bytes of [gzipSync(short), zstdCompressSync(short)]) {
    const { plain: found, digest } = await decompress(bytes, { size: 1 });
    t.true(found.equals(short));
    t.is(digest, sha256(short));
  }
});

test('gzip of many members is one stream, wherever members and reads begin', async (t) => {
  for (let round = 0; round < 12; round += 1) {
    const cuts = Array.from({ length: 1 + round * 4 }, () => Math.floor(Math.random() * plain.length));
    const ends = [...cuts.toSorted((a, b) => a - b), plain.length];
    const members = ends.map((end, i) => gzipSync(plain.subarray(ends[i - 1] ?? 0, end), { level: 1 + (i % 9) }));
    const { status, digest } = await decompress(Buffer.concat(members), { size: [1021, 65_536, 262_144][round % 3] });
    t.is(status, 0, `cuts ${cuts}`);
    t.is(digest, sha256(plain), `cuts ${cuts}`);
  }
});

const ends = { middle: 10, invalid: 11, checksum: 12, behind: 13, window: 14, dictionary: 15 };

const flipped = (bytes: Buffer, at: number): Buffer => {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
};

/** A frame's header (RFC 8878, 3.1.1.1): `descriptor`, then its fields. Behind it the last block, of nothing. */
const frame = (descriptor: number, ...fields: number[]): Buffer =>
  Buffer.from([0x28, 0xb5, 0x2f, 0xfd, descriptor, ...fields, 1, 0, 0]);

test('frames that ask for up to 128 MiB of window each, in any order, are one stream', async (t) => {
  const some = plain.subarray(299_000, 301_000);
  const windows = [17, 16, 0, 17, 4, 16].flatMap((log) => [frame(0, log << 3), zstdCompressSync(some)]);
  const { status, plain: found } = await decompress(Buffer.concat(windows));
  t.is(status, 0);
  t.true(found.equals(Buffer.concat(Array.from({ length: 6 }, () => some))));
});

const bad: Readonly<Record<string, readonly [Buffer, number]>> = {
  'a truncated gzip': [gzip.subarray(0, -10), ends.middle],
  'a gzip without its last byte': [gzip.subarray(0, -1), ends.middle],
  'a gzip that ends in the header of its second member': [Buffer.concat([gzip, gzip.subarray(0, 5)]), ends.middle],
  'a gzip with another checksum': [flipped(gzip, gzip.length - 6), ends.checksum],
  'a gzip with another length': [flipped(gzip, gzip.length - 1), ends.checksum],
  'garbage behind a gzip': [Buffer.concat([gzip, Buffer.alloc(100_000, 'x')]), ends.behind],
  'garbage behind zeros behind a gzip': [Buffer.concat([gzip, Buffer.alloc(100_000), gzip]), ends.behind],
  'a truncated zstd': [zstd.subarray(0, -10), ends.middle],
  'a zstd cut between two blocks': [zstd.subarray(0, 131_084), ends.middle],
  'garbage behind a zstd': [Buffer.concat([zstd, Buffer.alloc(100, 'x')]), ends.behind],
  'three bytes behind a zstd': [Buffer.concat([zstd, zstd.subarray(0, 3)]), ends.middle],
  'a zstd with another checksum': [
    flipped(Buffer.concat(frames.slice(-3, -2)), (frames.at(-3)?.length ?? 0) - 1),
    ends.checksum,
  ],
  'a zstd with a window of 256 MiB': [frame(0, (28 - 10) << 3), ends.window],
  'a zstd with a window of two TiB': [frame(0, 0xf8), ends.window],
  'a zstd of less than its header says, that an empty block ends': [
    Buffer.concat([zstd, frame(0x20, 9), zstd]),
    ends.invalid,
  ],
  'a zstd with a dictionary': [frame(1, 0x40, 7), ends.dictionary],
};

for (const [name, [bytes, status]] of Object.entries(bad))
  test(`refused: ${name}`, async (t) => {
    const found = await decompress(bytes);
    t.is(found.status, status);
    t.is(found.digest, '');
  });

test('no stream that was cut or changed at a random place passes for the whole one', async (t) => {
  for (let round = 0; round < 60; round += 1) {
    const source = round % 2 === 0 ? gzip : zstd;
    const at = 4 + Math.floor(Math.random() * (source.length - 4));
    const found = await decompress(round % 4 < 2 ? source.subarray(0, at) : flipped(source, at));
    if (found.status !== 0) t.true(found.status >= ends.middle && found.status <= ends.dictionary, `at ${at}`);
    else t.true(found.digest !== sha256(plain) || found.plain.equals(plain), `at ${at}`);
  }
});

test('a bomb is cut off at the limit, before it is whole', async (t) => {
  const zeros = Buffer.alloc(64 << 20);
  for (const bytes of [gzipSync(zeros), zstdCompressSync(zeros)]) {
    const found = await decompress(bytes, { limit: 5 << 20 });
    t.is(found.status, 2);
    t.true(found.plain.length <= 8 << 20, `${found.plain.length}`);
  }
});

test('a stream of exactly the limit passes', async (t) => {
  t.is((await decompress(gzip, { limit: plain.length })).status, 0);
  t.is((await decompress(gzip, { limit: plain.length - 1 })).status, 2);
});

test('what is no limit is refused', async (t) => {
  for (const limit of [0, Number.NaN]) t.is((await decompress(gzip, { limit })).status, 64);
});
