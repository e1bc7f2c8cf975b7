import test from 'ava';
import { BerthError } from '../base/errors.ts';
import { encodeFields, encodeFrame, FieldReader, FrameParser, frameLimit } from './frames.ts';

/** A small generator with a seed, so that a failure can be repeated. */
const randomOf = (seed: number) => {
  let state = seed;
  return (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
};

test('fields come back as they were written', (t) => {
  const reader = new FieldReader(encodeFields([7, 2n ** 64n - 1n, 'grün', Buffer.from([0, 1, 0]), '']));
  t.is(reader.number(), 7);
  t.is(reader.bigint(), 2n ** 64n - 1n);
  t.is(reader.text(), 'grün');
  t.deepEqual([...reader.bytes()], [0, 1, 0]);
  t.is(reader.text(), '');
  t.notThrows(() => reader.end());
});

test('bytes after the last field are an error', (t) => {
  const reader = new FieldReader(encodeFields(['a', 'b']));
  reader.text();
  t.throws(() => reader.end(), { instanceOf: BerthError });
});

test('a stream is cut into the same frames wherever its pieces end', (t) => {
  const random = randomOf(1);
  const payloads = Array.from({ length: 200 }, () => Buffer.alloc(random(300), random(256)));
  const stream = Buffer.concat(payloads.map((payload, id) => encodeFrame(id % 60, id, payload)));
  const parser = new FrameParser();
  const found = [];
  for (let at = 0; at < stream.length; ) {
    const size = 1 + random(40);
    found.push(...parser.push(stream.subarray(at, at + size)));
    at += size;
  }
  t.deepEqual(
    found.map(({ type, id, payload }) => [type, id, payload.toString('hex')]),
    payloads.map((payload, id) => [id % 60, id, payload.toString('hex')]),
  );
  t.is(parser.pending, 0);
});

test('a streamed frame is given out in parts that make its payload, and the frames around it are whole', (t) => {
  const random = randomOf(3);
  const streamed = 48;
  const payloads = Array.from({ length: 200 }, () => Buffer.alloc(random(300), random(256)));
  const typeOf = (id: number): number => (id % 3 === 0 ? streamed : 2);
  const stream = Buffer.concat(payloads.map((payload, id) => encodeFrame(typeOf(id), id, payload)));
  const parser = new FrameParser([streamed]);
  const parts = new Map<number, { readonly type: number; readonly payloads: Buffer[] }>();
  for (let at = 0; at < stream.length; ) {
    const piece = stream.subarray(at, at + 1 + random(200));
    at += piece.length;
    for (const { type, id, payload } of parser.push(piece)) {
      const known = parts.get(id) ?? { type, payloads: [] };
      parts.set(id, known);
      known.payloads.push(payload);
    }
    t.true(parser.pending < 320);
  }
  t.deepEqual(
    [...parts].map(([id, part]) => [id, part.type, Buffer.concat(part.payloads).toString('hex')]),
    payloads.map((payload, id) => [id, typeOf(id), payload.toString('hex')]),
  );
  t.true([...parts].some(([, part]) => part.payloads.length > 1));
  t.true([...parts].every(([, part]) => part.type === streamed || part.payloads.length === 1));
});

test('a frame over the limit is refused before its payload comes, and never made', (t) => {
  const header = encodeFrame(1, 1);
  header.writeUInt32LE(frameLimit + 1, 0);
  t.throws(() => new FrameParser().push(header), { message: /frame header is wrong/ });
  t.throws(() => encodeFrame(1, 1, Buffer.alloc(frameLimit + 1)), { message: /limit/ });
});

test('any bytes as fields are read or refused with a BerthError, never read past their end', (t) => {
  const random = randomOf(2);
  let refused = 0;
  for (let round = 0; round < 20_000; round += 1) {
    const payload = encodeFields([random(1000), 'x'.repeat(random(20))]);
    for (let i = random(4); i > 0; i -= 1) payload[random(payload.length)] = random(256);
    const cut = payload.subarray(0, random(payload.length + 1));
    try {
      const reader = new FieldReader(cut);
      reader.bigint();
      reader.text();
      reader.end();
    } catch (error) {
      if (!(error instanceof BerthError)) throw error;
      refused += 1;
    }
  }
  t.true(refused > 1000);
});
