import { createReadStream } from 'node:fs';
import { codeOf } from '../../base/errors.ts';
import type { TakenPart } from '../blobs/parts.ts';
import type { BlobWriter } from '../blobs/writer.ts';
import type { LayerJob, LayerTools } from './layer.ts';

/** Reads the layer's compressed bytes to their end and makes the layer of them; `writer` keeps them. */
export type Unpack = (
  tools: LayerTools,
  job: LayerJob,
  chunks: AsyncIterable<Buffer>,
  writer: BlobWriter | undefined,
) => Promise<void>;

/**
 * Fetches and unpacks a layer. What came of one whose transfer ends early is kept, and the next fetch goes on behind it;
 * without kept blobs there is nothing to keep it in. Of a part from a source that was not honest nobody knows before the end;
 * it is gone then, and `again` of the source has the layer fetched whole.
 */
export const fetchLayer = async (tools: LayerTools, job: LayerJob, unpack: Unpack): Promise<void> => {
  const { source, descriptor, signal } = job;
  if (!tools.keepBlobs) return unpack(tools, job, source.blob(descriptor, signal), undefined);
  const part = source.blobFrom === undefined ? undefined : await tools.parts.take(descriptor.digest, descriptor.size);
  const { digest, size } = descriptor;
  const transfer = new Watched(part === undefined ? source.blob(descriptor, signal) : rest(job, part));
  await using writer = await tools.blobs.writer(part);
  try {
    await unpack(tools, job, transfer, writer);
  } catch (error) {
    if (source.blobFrom !== undefined && (signal.aborted || transfer.isCut)) await keep(tools, job, writer);
    throw error;
  }
  await tools.blobs.add(digest, size, writer);
};

async function* rest({ source, descriptor, signal }: LayerJob, { path, size }: TakenPart): AsyncGenerator<Buffer> {
  yield* createReadStream(path, { end: size - 1, highWaterMark: 1 << 18 }) as AsyncIterable<Buffer>;
  yield* source.blobFrom?.(descriptor, size, signal) ?? [];
}

const keep = async ({ parts }: LayerTools, { descriptor }: LayerJob, writer: BlobWriter): Promise<void> => {
  const path = await writer.leave();
  if (path !== undefined) await parts.keep(descriptor.digest, path);
};

/** Remembers whether the source failed, and not with what it had given: then what came may be right. */
class Watched implements AsyncIterable<Buffer> {
  isCut = false;
  readonly #chunks: AsyncIterable<Buffer>;

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    try {
      yield* this.#chunks;
    } catch (error) {
      this.isCut = codeOf(error) !== 'data-loss';
      throw error;
    }
  }
}
