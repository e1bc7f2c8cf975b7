import { join } from 'node:path';
import { messageOf } from '../base/errors.ts';
import { makeDirectory, namesIn, setMode } from '../base/files.ts';
import { Parts } from './blobs/parts.ts';
import { BlobStore } from './blobs/store.ts';
import { blobsOf, keysOf } from './disk.ts';
import { Holds, holdKey } from './holds.ts';
import type { Lower } from './layers/fixups.ts';
import { Trees } from './layers/trees.ts';
import type { Paths } from './paths.ts';
import type { Pinning } from './pinned.ts';
import { Catalog } from './records/catalog.ts';
import type { StoredImage } from './records/stored.ts';
import { Remover } from './remover.ts';
import type { Helper, Log } from './types.ts';

/** Everything of images/ that is on disk. */
export interface ImageStore {
  readonly paths: Paths;
  readonly blobs: BlobStore;
  readonly parts: Parts;
  readonly layers: Trees;
  readonly fixups: Trees;
  readonly catalog: Catalog;
  readonly holds: Holds;
  readonly remover: Remover;
}

/** Loads what is there, in parallel; what was in the making when the daemon ended is garbage. */
export const openStore = async (
  paths: Paths,
  isPinned: Pinning,
  { helper, program, log }: { readonly helper: Helper; readonly program: string; readonly log: Log },
): Promise<ImageStore> => {
  await makeDirectory(paths.base);
  // Readable by anyone once is readable for ever after (CVE-2021-41103): set at every start.
  await setMode(paths.base, 0o700);
  await Promise.all(paths.directories.map((directory) => makeDirectory(directory)));
  const left = await namesIn(paths.temporary);
  const remover = new Remover({ helper, program, paths, log });
  for (const name of left) remover.add(join(paths.temporary, name));
  const [blobs, parts, layers, fixups, catalog] = await Promise.all([
    BlobStore.open(paths, remover),
    Parts.open(paths, remover, log),
    Trees.open(paths.layers, paths, remover, log),
    Trees.open(paths.fixups, paths, remover, log),
    Catalog.open(paths, isPinned, log),
  ]);
  const store = { paths, blobs, parts, layers, fixups, catalog, holds: new Holds(), remover };
  await dropIncomplete(store, log);
  return store;
};

/** What a later berthd has written stays whole for it: who does not know what is needed removes nothing. */
const hasLater = ({ catalog, layers, fixups }: ImageStore): boolean =>
  catalog.hasLater || layers.hasLater || fixups.hasLater;

/** An image with a layer that is not there is dropped alone (lesson A10); the next pull fetches what is missing. */
const dropIncomplete = async (store: ImageStore, log: Log): Promise<void> => {
  const { catalog } = store;
  if (hasLater(store)) return;
  const broken = catalog.images().filter((image) => !isComplete(store, image));
  for (const { id } of broken) {
    log.warn({ image: id }, 'image has lost a layer and is dropped; pull it again');
    await catalog.removeNames(id);
    await catalog.removeImage(id);
  }
  const orphans = catalog.names().filter(({ image }) => catalog.image(image) === undefined);
  for (const { name, image } of orphans) {
    log.warn({ name, image }, 'name of an image that is not there is dropped');
    await catalog.removeNames(image);
  }
};

const hasLower = ({ layers, fixups }: ImageStore, { kind, digest }: Lower): boolean =>
  (kind === 'layer' ? layers : fixups).has(digest);

export const isComplete = (store: ImageStore, image: StoredImage): boolean =>
  image.lowers.every((lower) => hasLower(store, lower));

/** Removes what no name, no lease and no call in flight needs. Decided in one turn, so that nothing comes between. */
export const collectGarbage = async (store: ImageStore, log: Log): Promise<void> => {
  if (hasLater(store)) return;
  const { catalog, blobs, parts, layers, fixups } = store;
  const removals = unneededImages(store).map((id) => catalog.removeImage(id));
  removals.push(parts.collect());
  const needed = neededKeys(store);
  const isFree = (key: string): boolean => !needed.has(key) && !store.holds.has(key);
  for (const [digest] of blobs.entries()) if (isFree(holdKey('blob', digest))) removals.push(blobs.remove(digest));
  for (const [digest] of layers.entries()) if (isFree(holdKey('layer', digest))) removals.push(layers.remove(digest));
  for (const [digest] of fixups.entries()) if (isFree(holdKey('fixup', digest))) removals.push(fixups.remove(digest));
  for (const result of await Promise.allSettled(removals))
    if (result.status === 'rejected') log.warn({ error: messageOf(result.reason) }, 'garbage could not be removed');
};

const unneededImages = ({ catalog, holds }: ImageStore): readonly StoredImage['id'][] => {
  const named = catalog.names().map(({ image }) => image);
  const roots = new Set([...named, ...catalog.leases().flatMap(({ image, volumes }) => [image, ...volumes])]);
  const ids = catalog.images().map(({ id }) => id);
  return ids.filter((id) => !roots.has(id) && !holds.has(holdKey('image', id)));
};

const neededKeys = ({ catalog }: ImageStore): ReadonlySet<string> => {
  const targets = catalog.names().flatMap((name) => blobsOf(name).map((digest) => holdKey('blob', digest)));
  return new Set([...targets, ...catalog.images().flatMap((image) => keysOf(image, []))]);
};
