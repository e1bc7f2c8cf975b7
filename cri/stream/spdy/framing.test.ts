import { once } from 'node:events';
import { constants, createDeflate, createInflate, deflateSync } from 'node:zlib';
import test from 'ava';
import { dictionary, dictionaryId } from './dictionary.ts';
import { type ControlFrame, controlFrame, dataHead, Flag, FrameParser, FrameType } from './frames.ts';
import { HeaderReader, HeaderWriter } from './headers.ts';

test("the dictionary is SPDY/3's: 1423 bytes with its Adler-32", (t) => {
  let [a, b] = [1, 0];
  for (const byte of dictionary) {
    a = (a + byte) % 65_521;
    b = (b + a) % 65_521;
  }
  t.is(dictionary.length, 1423);
  t.is((b * 65_536 + a) >>> 0, dictionaryId);
});

const number = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

const plain = (headers: Readonly<Record<string, string>>): Buffer =>
  Buffer.concat([
    number(Object.keys(headers).length),
    ...Object.entries(headers).flatMap((pair) =>
      pair.flatMap((text) => [number(text.length), Buffer.from(text, 'latin1')]),
    ),
  ]);

/** Blocks of one deflate stream, each ended by a sync flush, as Go writes them. */
const deflated = async (texts: readonly Buffer[]): Promise<Buffer[]> => {
  const deflate = createDeflate({ dictionary });
  const blocks: Buffer[] = [];
  for (const text of texts) {
    deflate.write(text);
    await new Promise<void>((resolve) => deflate.flush(constants.Z_SYNC_FLUSH, resolve));
    blocks.push(deflate.read() as Buffer);
  }
  deflate.close();
  return blocks;
};

test('blocks of one deflate stream are read one by one, also far beyond its window', async (t) => {
  const all = Array.from({ length: 1500 }, (_, index) => ({
    streamtype: index % 2 === 0 ? 'data' : 'error',
    port: '8080',
    requestid: `${index}`,
    filler: 'x'.repeat(index % 50),
  }));
  const reader = new HeaderReader();
  const blocks = await deflated(all.map(plain));
  t.deepEqual(
    blocks.map((block) => Object.fromEntries(reader.read(block))),
    all,
  );
});

test('names are told in lower case, values as they are', async (t) => {
  const [block = Buffer.alloc(0)] = await deflated([plain({ StreamType: 'StdIn', 'x-ü': '\u00ff\u0000b' })]);
  t.deepEqual(
    [...new HeaderReader().read(block)],
    [
      ['streamtype', 'StdIn'],
      ['x-ü', '\u00ff\u0000b'],
    ],
  );
});

test('what is no block of headers is refused', async (t) => {
  const [good = Buffer.alloc(0)] = await deflated([plain({ a: 'b' })]);
  const [twice = Buffer.alloc(0)] = await deflated([
    Buffer.concat([number(2), ...['a', 'b', 'A', 'c'].flatMap((text) => [number(1), Buffer.from(text)])]),
  ]);
  const [long = Buffer.alloc(0)] = await deflated([Buffer.concat([number(1), number(2 ** 31)])]);
  const bomb = deflateSync(Buffer.alloc(10 << 20), { dictionary });
  const other = deflateSync(plain({ a: 'b' }), { dictionary: Buffer.from('another') });
  for (const [block, message] of [
    [twice, /has a twice/],
    [long, /ends at/],
    [bomb, /SPDY header block/],
    [other, /dictionary/],
    [deflateSync(plain({ a: 'b' })), /dictionary/],
    [Buffer.from('no zlib at all'), /dictionary/],
    [Buffer.alloc(0), /0 bytes/],
  ] as const)
    t.throws(() => new HeaderReader().read(block), { message });
  for (let length = 0; length < good.length - 5; length += 1)
    t.throws(() => new HeaderReader().read(good.subarray(0, length)), undefined, `${length} bytes`);
});

test('what we write is read by an inflate with a context', async (t) => {
  const writer = new HeaderWriter();
  const inflate = createInflate({ dictionary });
  for (const headers of [{}, { status: '200 OK' }, {}, { a: 'b', c: 'd' }]) {
    inflate.write(writer.write(new Map(Object.entries(headers))));
    if (inflate.readableLength === 0) await once(inflate, 'readable');
    t.deepEqual(inflate.read() as Buffer, plain(headers as Record<string, string>));
  }
  inflate.close();
});

type Seen = ControlFrame | { readonly stream: number; readonly bytes: string; readonly fin: boolean };

/** All that a parser says, with the parts of one data frame joined. */
const parsed = (pieces: readonly Buffer[]): Seen[] => {
  const seen: Seen[] = [];
  let open = '';
  const parser = new FrameParser({
    control: (frame) => seen.push(frame),
    data: (stream, bytes, fin) => {
      open += bytes.toString('latin1');
      if (fin || open.endsWith('.')) {
        seen.push({ stream, bytes: open, fin });
        open = '';
      }
    },
  });
  for (const piece of pieces) parser.push(piece);
  return seen;
};

test('frames are the same wherever the bytes are cut, at every byte and at every pair of bytes', (t) => {
  const bytes = Buffer.concat([
    controlFrame(FrameType.SYN_STREAM, [1, 0], Buffer.from('xxheaders'), Flag.FIN),
    dataHead(1, 6, 0),
    Buffer.from('hello.'),
    controlFrame(FrameType.PING, [7]),
    dataHead(3, 0, Flag.FIN),
    dataHead(5, 4, Flag.FIN),
    Buffer.from('end.'),
    controlFrame(FrameType.SETTINGS, []),
  ]);
  const whole = parsed([bytes]);
  t.is(whole.length, 6);
  t.deepEqual(whole[1], { stream: 1, bytes: 'hello.', fin: false });
  t.deepEqual(whole[3], { stream: 3, bytes: '', fin: true });
  t.deepEqual(parsed([...bytes].map((byte) => Buffer.of(byte))), whole);
  const expected = JSON.stringify(whole);
  const wrong: string[] = [];
  for (let first = 0; first <= bytes.length; first += 1)
    for (let second = first; second <= bytes.length; second += 1) {
      const pieces = [bytes.subarray(0, first), bytes.subarray(first, second), bytes.subarray(second)];
      if (JSON.stringify(parsed(pieces)) !== expected) wrong.push(`${first}, ${second}`);
    }
  t.deepEqual(wrong, []);
});

test('data is passed on before its frame is whole, and never gathered', (t) => {
  const parts: number[] = [];
  const parser = new FrameParser({ control: () => t.fail(), data: (_stream, bytes) => parts.push(bytes.length) });
  parser.push(dataHead(1, 0xffffff, 0));
  for (let sent = 0; sent < 255; sent += 1) parser.push(Buffer.alloc(65_536));
  t.is(parts.length, 255);
});

test('a control frame longer than any of ours, and data for no stream, are refused', (t) => {
  const long = Buffer.alloc(8);
  long.writeUInt32BE(0x80030001, 0);
  long.writeUInt32BE(16_385, 4);
  t.throws(() => parsed([long]), { message: /16385 bytes, the limit is 16384/ });
  t.throws(() => parsed([dataHead(0, 1, 0), Buffer.of(1)]), { message: /stream 0/ });
});
