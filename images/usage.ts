import { onDisk } from './blobs/store.ts';
import { sizesByKey } from './disk.ts';
import type { ImageStore } from './store.ts';
import type { ImageUsage } from './types.ts';

/** A record, or a directory of the store. */
const small = 4096;

/**
 * What the images take on disk, with what waits to be deleted; summed from what is known of each blob and tree: nothing is
 * walked. What is being fetched counts when it is whole.
 */
export const usageOf = (store: ImageStore): ImageUsage => {
  const { catalog, paths, remover } = store;
  const records = catalog.images().length + catalog.names().length + catalog.leases().length;
  const others = records + paths.directories.length;
  const garbage = remover.pending();
  let bytes = garbage.bytes + others * small;
  let inodes = garbage.inodes + others;
  for (const size of sizesByKey(store).values()) {
    bytes += size.bytes;
    inodes += size.inodes;
  }
  for (const part of store.parts.entries()) {
    bytes += onDisk(part.bytes);
    inodes += 1;
  }
  return { bytes, inodes, mountpoint: paths.base };
};
