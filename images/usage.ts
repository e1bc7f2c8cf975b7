import { onDisk } from './blobs/store.ts';
import type { ImageStore } from './store.ts';
import type { ImageUsage } from './types.ts';

/** What the images take on disk, summed from what is known of each blob and tree: nothing is walked. */
export const usageOf = ({ blobs, layers, fixups, paths }: ImageStore): ImageUsage => {
  let bytes = 0;
  let inodes = 0;
  for (const [, size] of blobs.entries()) {
    bytes += onDisk(size);
    inodes += 1;
  }
  for (const trees of [layers, fixups])
    for (const [, size] of trees.entries()) {
      bytes += size.bytes;
      inodes += size.inodes;
    }
  return { bytes, inodes, mountpoint: paths.base };
};
