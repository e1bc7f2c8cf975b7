import { setTimeout as sleep } from 'node:timers/promises';
import { onDisk } from './blobs/store.ts';
import { freedBy, type ImageDisk, imagesDisk } from './disk.ts';
import { holdKey } from './holds.ts';
import type { TreeSize } from './layers/trees.ts';
import { collectGarbage, type ImageStore } from './store.ts';
import type { Log } from './types.ts';

export interface PruneJob {
  /** Only what was removed before is deleted. */
  readonly garbageOnly: boolean;
  /** Images that had their newest name since then stay; ms since 1970. */
  readonly before: number;
  readonly signal: AbortSignal;
  readonly log: Log;
}

/** Images that have a name, that no container and no call uses, that no pattern pins, and that are old enough. */
export const prunable = async (store: ImageStore, before: number): Promise<readonly ImageDisk[]> => {
  const { catalog, holds } = store;
  const free = imagesDisk(store).filter(
    ({ id, names, pinned, containers }) =>
      names.length > 0 && !pinned && containers.length === 0 && !holds.has(holdKey('image', id)),
  );
  const times = await Promise.all(free.map(({ id }) => catalog.namedAt(id)));
  return free.filter((_, at) => (times[at] ?? 0) < before);
};

/** What a prune of these images would free, with what waits to be deleted and what is kept of cut transfers. */
export const prunableSize = (store: ImageStore, images: readonly ImageDisk[]): TreeSize => {
  const { bytes, inodes } = store.remover.pending();
  const freed = freedBy(store, new Set(images.map(({ id }) => id)));
  const parts = store.parts.entries();
  const partial = parts.reduce((sum, part) => sum + onDisk(part.bytes), 0);
  return { bytes: bytes + freed.bytes + partial, inodes: inodes + freed.inodes + parts.length };
};

const tickMs = 200;

/**
 * Takes the names of each image, tells of it, then deletes everything that waits and tells how far that is. Somebody may
 * use an image meanwhile: each is looked at again in its turn.
 */
export async function* pruneImages(
  store: ImageStore,
  { garbageOnly, before, signal, log }: PruneJob,
): AsyncGenerator<{ readonly image?: ImageDisk; readonly freed: TreeSize }> {
  const { deleted } = store.remover;
  const freed = (): TreeSize => ({
    bytes: store.remover.deleted.bytes - deleted.bytes,
    inodes: store.remover.deleted.inodes - deleted.inodes,
  });
  for (const image of garbageOnly ? [] : await prunable(store, before)) {
    signal.throwIfAborted();
    const isStill = imagesDisk(store).some(({ id, containers }) => id === image.id && containers.length === 0);
    if (!isStill || store.holds.has(holdKey('image', image.id))) continue;
    await store.catalog.removeNames(image.id);
    yield { image, freed: freed() };
  }
  if (!garbageOnly) await store.parts.clear();
  await collectGarbage(store, log);
  const done = store.remover.flush(signal).then(() => true);
  while (!(await Promise.race([done, sleep(tickMs, false, { ref: false })]))) yield { freed: freed() };
  signal.throwIfAborted();
  yield { freed: freed() };
}
