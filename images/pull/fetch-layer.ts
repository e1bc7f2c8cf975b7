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
 * without kept blobs there is nothing to keep it in.
 */
export const fetchLayer = async (tools: LayerTools, job: LayerJob, unpack: Unpack): Promise<void> => {
  const { source, descriptor, signal } = job;
  if (!tools.keepBlobs) return unpack(tools, job, source.blob(descriptor, signal), undefined);
  const part = source.blobFrom === undefined ? undefined : await tools.parts.take(descriptor.digest, descriptor.size);
  if (part === undefined) return fetchInto(tools, job, unpack, undefined);
  try {
    await fetchInto(tools, job, unpack, part);
  } catch (error) {
    // The part may come from a source that was not honest: once more, without it.
    if (!['data-loss', 'invalid-argument', 'resource-exhausted'].includes(codeOf(error)) || signal.aborted) throw error;
    await fetchInto(tools, job, unpack, undefined);
  }
};

const fetchInto = async (
  tools: LayerTools,
  job: LayerJob,
  unpack: Unpack,
  part: TakenPart | undefined,
): Promise<void> => {
  const { digest, size } = job.descriptor;
  const transfer = new Watched(part === undefined ? job.source.blob(job.descriptor, job.signal) : rest(job, part));
  await using writer = await tools.blobs.writer(part);
  try {
    await unpack(tools, job, transfer, writer);
  } catch (error) {
    if (job.source.blobFrom !== undefined && (job.signal.aborted || transfer.isCut)) await keep(tools, job, writer);
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
