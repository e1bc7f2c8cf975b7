import type { Digest } from '../../base/digest.ts';
import type { Pinning } from '../pinned.ts';
import type { ImageRecord } from '../types.ts';
import type { StoredImage, StoredName } from './stored.ts';

/** The images as callers see them: those that have a name, each with its tags and digests in order. */
export const viewOf = (
  images: ReadonlyMap<Digest, StoredImage>,
  names: Iterable<StoredName>,
  isPinned: Pinning,
): ReadonlyMap<Digest, ImageRecord> => {
  const byImage = Map.groupBy(names, ({ image }) => image);
  const views = new Map<Digest, ImageRecord>();
  for (const [id, image] of images) {
    const texts = byImage
      .get(id)
      ?.map(({ name }) => name)
      .toSorted();
    if (texts === undefined) continue;
    views.set(id, {
      id,
      repoTags: texts.filter((name) => !name.includes('@')),
      repoDigests: texts.filter((name) => name.includes('@')),
      size: image.size,
      config: image.config,
      layers: image.layers,
      annotations: image.annotations ?? {},
      ...(image.artifact && { artifactType: image.artifact.type }),
      pinned: texts.some(isPinned),
    });
  }
  return views;
};
