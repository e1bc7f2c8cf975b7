import { type Digest, digestParts } from '../../base/digest.ts';
import { BerthError, codeOf, errnoOf } from '../../base/errors.ts';
import type { Parts } from '../blobs/parts.ts';
import type { BlobStore } from '../blobs/store.ts';
import { mismatch, verified } from '../blobs/verify.ts';
import type { BlobWriter } from '../blobs/writer.ts';
import type { Trees } from '../layers/trees.ts';
import { type UnpackTools, unpack } from '../layers/unpack.ts';
import type { Descriptor } from '../manifest.ts';
import type { Source } from '../source.ts';
import type { LayerLimit } from '../types.ts';
import { type Chunks, fetchLayer } from './fetch-layer.ts';

export interface LayerTools extends UnpackTools {
  readonly blobs: BlobStore;
  readonly parts: Parts;
  readonly layers: Trees;
  readonly keepBlobs: boolean;
  readonly layerLimit: LayerLimit;
}

export interface LayerJob {
  readonly source: Source;
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  /** The layer was there when the pull came to it; another pull's, which came after that, may not keep the blob. */
  readonly wasThere: boolean;
  readonly signal: AbortSignal;
  /** Compressed bytes so far. */
  readonly report: (offset: number) => void;
}

/** Makes the layer there: from the kept blob where its bytes are still right, else from the source. */
export const obtainLayer = async (tools: LayerTools, job: LayerJob): Promise<void> => {
  const { digest } = job.descriptor;
  const kept = tools.blobs.sizeOf(digest);
  if (kept !== undefined) await checkSize(tools.blobs, job, kept);
  if (tools.layers.has(job.diffId) && (job.wasThere || kept !== undefined || !tools.keepBlobs)) return;
  if (kept !== undefined) {
    try {
      return await unpackFrom(tools, job, () => tools.blobs.stream(digest), undefined);
    } catch (error) {
      if (job.signal.aborted || (await isIntact(tools.blobs, job))) throw error;
      await tools.blobs.remove(digest);
    }
  }
  for (;;) {
    try {
      return await fetchLayer(tools, job, unpackFrom);
    } catch (error) {
      if (job.signal.aborted || job.source.again === undefined) throw error;
      job.source.again(job.descriptor, error);
    }
  }
};

/** One pass: every byte is counted, written, hashed, decompressed, hashed and unpacked, and never read again. */
const unpackFrom = async (
  tools: LayerTools,
  job: LayerJob,
  chunks: Chunks,
  writer: BlobWriter | undefined,
): Promise<void> => {
  const { descriptor, diffId, signal } = job;
  const what = `layer ${descriptor.digest}`;
  const read: Chunks = (stop) => verified(observed(chunks(stop), job, writer), descriptor, what);
  await using scratch = await tools.layers.scratch('layer');
  const unpacking = { directory: scratch.path, read, size: descriptor.size, limit: tools.layerLimit, what, signal };
  const { diffId: found, records, root, isOpaque, measured } = await unpack(tools, unpacking);
  if (found !== diffId) throw mismatch(`${what} decompressed`, diffId, digestParts(found).hex);
  signal.throwIfAborted();
  await tools.layers.add(diffId, scratch.path, { ...measured, root, isOpaque }, records);
};

async function* observed(
  chunks: AsyncIterable<Buffer>,
  { report, signal }: LayerJob,
  writer: BlobWriter | undefined,
): AsyncGenerator<Buffer> {
  let offset = 0;
  for await (const chunk of chunks) {
    signal.throwIfAborted();
    await writer?.write(chunk);
    offset += chunk.length;
    report(offset);
    yield chunk;
  }
  // While the unpacker is still at it.
  writer?.flush();
}

/** A descriptor that says another size than the content has is refused as from a registry, and what is kept stays. */
const checkSize = async (blobs: BlobStore, job: LayerJob, kept: number): Promise<void> => {
  const { digest, size } = job.descriptor;
  if (kept !== size && (await isIntact(blobs, job)))
    throw new BerthError('data-loss', `layer ${digest}: has ${kept} bytes, its descriptor says ${size}`);
};

/** Whether the kept blob is what its name says: then the fault is not in it, and others may need it. */
const isIntact = async (blobs: BlobStore, { descriptor: { digest } }: LayerJob): Promise<boolean> => {
  try {
    for await (const _ of verified(blobs.stream(digest), { digest, size: blobs.sizeOf(digest) ?? 0 }, 'blob'));
    return true;
  } catch (error) {
    if (codeOf(error) === 'data-loss' || errnoOf(error) === 'ENOENT') return false;
    throw error;
  }
};
