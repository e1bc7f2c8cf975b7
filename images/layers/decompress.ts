import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { BerthError, errnoOf, messageOf } from '../../base/errors.ts';
import { zstdFrames } from './zstd-frames.ts';

/** Larger than zlib's own 16 KiB: fewer turns of the event loop a megabyte. */
const chunkSize = 1 << 18;

/** Tells gzip, zstd and plain tar apart by the first bytes and gives the tar. Throws data-loss for a broken stream. */
export async function* decompressed(chunks: AsyncIterable<Buffer>, what: string): AsyncGenerator<Buffer> {
  const iterator = chunks[Symbol.asyncIterator]();
  try {
    const head = await readHead(iterator);
    const all = prefixed(head, iterator);
    const format = formatOf(head);
    if (format === 'gzip') yield* through(all, createGunzip({ chunkSize }), what);
    else if (format === 'zstd') yield* through(zstdFrames(all, what), createZstdDecompress({ chunkSize }), what);
    else yield* all;
  } finally {
    await iterator.return?.();
  }
}

const readHead = async (iterator: AsyncIterator<Buffer>): Promise<Buffer> => {
  let head: Buffer = Buffer.alloc(0);
  while (head.length < 4) {
    const { done, value } = await iterator.next();
    if (done === true) break;
    head = head.length === 0 ? value : Buffer.concat([head, value]);
  }
  return head;
};

async function* prefixed(head: Buffer, iterator: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  if (head.length > 0) yield head;
  for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value;
}

const formatOf = (head: Buffer): 'gzip' | 'zstd' | 'plain' => {
  const magic = head.length < 4 ? 0 : head.readUInt32BE(0);
  if (magic >>> 16 === 0x1f8b) return 'gzip';
  // A zstd frame, or a skippable frame such as some tools begin with.
  return magic === 0x28b52ffd || (magic & 0xf0ffffff) >>> 0 === 0x502a4d18 ? 'zstd' : 'plain';
};

async function* through(chunks: AsyncIterable<Buffer>, stage: Duplex, what: string): AsyncGenerator<Buffer> {
  // A stage may find its end missing after everything was fed; an error that nobody hears would end the daemon.
  stage.on('error', () => undefined);
  const fed = pipeline(chunks, stage);
  // Its error comes out of the stage as well; only what the stage did not read is left for the await below.
  fed.catch(() => undefined);
  try {
    for await (const chunk of stage as AsyncIterable<Buffer>) yield chunk;
    await fed;
  } catch (error) {
    // What the source or the disk says is not the stream's fault.
    if (!/^(?:Z_|ZSTD_|ERR_STREAM_PREMATURE_CLOSE)/.test(errnoOf(error) ?? '')) throw error;
    throw new BerthError('data-loss', `${what}: cannot be decompressed: ${messageOf(error)}`, { cause: error });
  }
}
