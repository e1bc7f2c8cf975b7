import { PassThrough, Readable } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import test from 'ava';
import { arriving } from './arriving.ts';

const all = async (chunks: AsyncIterable<Buffer>): Promise<Buffer[]> => {
  const found: Buffer[] = [];
  for await (const chunk of chunks) found.push(chunk);
  return found;
};

test('all bytes come in their order, joined, and a slow reader holds up the stream', async (t) => {
  const given = Array.from({ length: 200 }, (_, i) => Buffer.alloc(65536, `${i} `));
  const all = Buffer.concat(given);
  const stream = new PassThrough({ highWaterMark: 1 << 24 });
  for (const chunk of given) stream.write(chunk);
  stream.end();
  const found: Buffer[] = [];
  let length = 0;
  let most = 0;
  for await (const chunk of arriving(stream)) {
    found.push(Buffer.from(chunk));
    length += chunk.length;
    await setImmediate();
    most = Math.max(most, all.length - length - stream.readableLength);
  }
  t.true(Buffer.concat(found).equals(all));
  t.true(found.length <= 60, `${found.length} pieces`);
  t.true(most <= 10 * 65536, `${most} bytes were taken ahead`);
});

test('a stream that fails, was cut or had failed before anyone read it says so', async (t) => {
  const failing = Readable.from(
    (function* () {
      yield Buffer.from('a');
      throw new Error('lost');
    })(),
  );
  await t.throwsAsync(all(arriving(failing)), { message: 'lost' });
  const cut = new PassThrough();
  cut.write('a');
  const reading = all(arriving(cut));
  await setImmediate();
  cut.destroy();
  await t.throwsAsync(reading, { code: 'ERR_STREAM_PREMATURE_CLOSE' });
  await t.throwsAsync(all(arriving(cut)), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
});

test('who leaves before the end destroys the stream', async (t) => {
  const stream = new PassThrough();
  stream.write('a');
  for await (const chunk of arriving(stream)) {
    t.is(chunk.toString(), 'a');
    break;
  }
  t.true(stream.destroyed);
});
