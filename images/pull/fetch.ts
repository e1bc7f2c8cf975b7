import type { Digest } from '../../base/digest.ts';
import { BerthError } from '../../base/errors.ts';
import type { BlobStore } from '../blobs/store.ts';
import { verified } from '../blobs/verify.ts';
import { documentLimit } from '../json.ts';
import type { Descriptor } from '../manifest.ts';
import type { Document, Source } from '../source.ts';

/** A manifest by digest: the kept one where it is there. */
export const fetchManifest =
  (blobs: BlobStore, source: Source): Source['manifest'] =>
  async (digest, signal): Promise<Document> => {
    const kept = await blobs.read(digest as Digest);
    if (kept === undefined) return source.manifest(digest, signal);
    return { bytes: kept, mediaType: '', digest: digest as Digest };
  };

/** A small blob whole, from the store or the source, checked. */
export const fetchDocument = async (
  blobs: BlobStore,
  source: Source,
  descriptor: Descriptor,
  signal: AbortSignal,
): Promise<Buffer> => {
  const what = `blob ${descriptor.digest}`;
  if (descriptor.size > documentLimit)
    throw new BerthError('resource-exhausted', `${what}: ${descriptor.size} bytes, the limit is ${documentLimit}`);
  const kept = await blobs.read(descriptor.digest);
  if (kept !== undefined && kept.length !== descriptor.size)
    throw new BerthError('data-loss', `${what}: has ${kept.length} bytes, its descriptor says ${descriptor.size}`);
  if (kept !== undefined) return kept;
  for (;;) {
    try {
      const chunks: Buffer[] = [];
      for await (const chunk of verified(source.blob(descriptor, signal), descriptor, what)) chunks.push(chunk);
      return Buffer.concat(chunks);
    } catch (error) {
      if (signal.aborted || source.again === undefined) throw error;
      source.again(descriptor, error);
    }
  }
};
