import { createReadStream } from 'node:fs';
import type { Digest } from '../../base/digest.ts';
import { codeOf } from '../../base/errors.ts';
import type { TakenPart } from '../blobs/parts.ts';
import type { BlobWriter } from '../blobs/writer.ts';
import type { LayerJob, LayerTools } from './layer.ts';

/** Begins to read; the signal ends it. */
export type Chunks = (signal: AbortSignal) => AsyncIterable<Buffer>;

/** Reads the layer's compressed bytes to their end and makes the layer of them; `writer` keeps them. */
export type Unpack = (
  tools: LayerTools,
  job: LayerJob,
  chunks: Chunks,
  writer: BlobWriter | undefined,
) => Promise<void>;

/**
 * Fetches and unpacks a layer. What came of one whose transfer ends early is kept, and the next fetch goes on behind it;
 * without kept blobs there is nothing to keep it in. Of a part from a source that was not honest nobody knows before the end;
 * it is gone then, and `again` of the source has the layer fetched whole.
 */
export const fetchLayer = async (tools: LayerTools, job: LayerJob, unpack: Unpack): Promise<void> => {
  const { source, descriptor, signal } = job;
  const { digest, size } = descriptor;
  const whole: Chunks = (stop) => source.blob(descriptor, stop);
  if (!tools.keepBlobs) return unpack(tools, job, whole, undefined);
  const part = source.blobFrom === undefined ? undefined : await tools.parts.take(digest, size);
  const transfer = new Watched(part === undefined ? whole : (stop) => rest(job, part, stop));
  await using writer = await writerFor(tools, digest, part);
  try {
    await unpack(tools, job, transfer.begin, writer);
  } catch (error) {
    if (source.blobFrom !== undefined && (signal.aborted || transfer.isCut)) await keep(tools, job, writer);
    throw error;
  }
  await tools.blobs.add(digest, size, writer);
};

const writerFor = async (
  { blobs, parts }: LayerTools,
  digest: Digest,
  part: TakenPart | undefined,
): Promise<BlobWriter> => {
  try {
    return await blobs.writer(part);
  } catch (error) {
    if (part !== undefined) await parts.offer(digest, part.path);
    throw error;
  }
};

async function* rest(
  { source, descriptor }: LayerJob,
  { path, size }: TakenPart,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  yield* createReadStream(path, { end: size - 1, highWaterMark: 1 << 18 }) as AsyncIterable<Buffer>;
  yield* source.blobFrom?.(descriptor, size, signal) ?? [];
}

/** What fails here hides nothing of why the transfer failed. */
const keep = async ({ parts }: LayerTools, { descriptor }: LayerJob, writer: BlobWriter): Promise<void> => {
  const path = await writer.leave().catch(() => undefined);
  if (path !== undefined) await parts.offer(descriptor.digest, path);
};

/** Remembers whether the source failed, and not with what it had given: then what came may be right. */
class Watched {
  isCut = false;
  readonly #chunks: Chunks;

  constructor(chunks: Chunks) {
    this.#chunks = chunks;
  }

  readonly begin: Chunks = (signal) => this.#watched(signal);

  async *#watched(signal: AbortSignal): AsyncGenerator<Buffer> {
    try {
      yield* this.#chunks(signal);
    } catch (error) {
      this.isCut = codeOf(error) !== 'data-loss' && !signal.aborted;
      throw error;
    }
  }
}
