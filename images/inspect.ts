import type { Digest } from '../base/digest.ts';
import { notFound } from '../base/errors.ts';
import { holdKey } from './holds.ts';
import type { StoredImage, StoredName } from './records/stored.ts';
import type { ImageStore } from './store.ts';
import type { ImageRecord } from './types.ts';

/** An image with its documents, byte for byte as they were pulled; undefined when their bytes are gone. */
export interface ImageDetails {
  readonly record: ImageRecord;
  readonly stored: StoredImage;
  readonly names: readonly StoredName[];
  readonly manifest: Buffer | undefined;
  readonly config: Buffer | undefined;
  /** Digests of the blobs that are kept beside the layers. */
  readonly blobs: readonly Digest[];
}

/** Reads what the store has of an image. Error: not-found. */
export const inspectImage = async ({ catalog, blobs, holds }: ImageStore, refOrId: string): Promise<ImageDetails> => {
  const record = catalog.resolve(refOrId);
  const stored = record && catalog.image(record.id);
  if (record === undefined || stored === undefined)
    throw notFound(`inspect image ${JSON.stringify(refOrId.slice(0, 300))}: there is no such image`);
  using _hold = holds.take(holdKey('image', record.id));
  const [manifest, config] = await Promise.all([
    blobs.look(stored.manifest),
    blobs.look(stored.artifact?.config ?? stored.id),
  ]);
  const names = catalog.names().filter(({ image }) => image === record.id);
  const kept = stored.layers.map(({ digest }) => digest).filter((digest) => blobs.has(digest));
  return { record, stored, names, manifest, config, blobs: kept };
};
