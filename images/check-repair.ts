import type { Digest } from '../base/digest.ts';
import { blobsOf, documentsOf, keysOf } from './disk.ts';
import { holdKey } from './holds.ts';
import type { StoredImage } from './records/stored.ts';
import { collectGarbage, type ImageStore } from './store.ts';
import type { Log } from './types.ts';

export type Kind = 'blob' | 'layer' | 'fixup' | 'image' | 'name' | 'lease' | 'orphan';

/** Something that is wrong. */
export interface Finding {
  readonly kind: Kind;
  /** A digest, a name, or a path below the daemon's root directory. */
  readonly subject: string;
  readonly problem: string;
  /** A name of each image that it belongs to, or its id. */
  readonly owners: readonly string[];
  /** The containers that use such an image. */
  readonly containers: readonly string[];
  readonly repaired: boolean;
}

type Owners = Pick<Finding, 'owners' | 'containers'>;

const imagesWith = ({ catalog }: ImageStore, kind: Kind, digest: Digest): readonly StoredImage[] => {
  if (kind === 'image') return catalog.images().filter(({ id }) => id === digest);
  if (kind !== 'blob' && kind !== 'layer' && kind !== 'fixup') return [];
  const names = Map.groupBy(catalog.names(), ({ image }) => image);
  const targets = (id: Digest): readonly Digest[] => names.get(id)?.flatMap(blobsOf) ?? [];
  return catalog.images().filter((image) => keysOf(image, targets(image.id)).includes(holdKey(kind, digest)));
};

export const ownersOf = (store: ImageStore, kind: Kind, digest: Digest): Owners => {
  const { catalog } = store;
  const images = imagesWith(store, kind, digest).map(({ id }) => id);
  const nameOf = (id: Digest): string => catalog.names().find(({ image }) => image === id)?.name ?? id;
  const uses = (list: readonly Digest[]): boolean => list.some((id) => images.includes(id));
  const leases = catalog.leases().filter(({ image, volumes }) => uses([image, ...volumes]));
  return { owners: images.map(nameOf), containers: leases.map(({ container }) => container) };
};

/**
 * Drops what is wrong. A compressed layer goes alone: nobody needs it but a push, and the next pull fetches it. With
 * anything else its images go, and those alone (lesson A10). What a container uses stays, and so does what a pull just took.
 */
export const repairFinding = async (store: ImageStore, finding: Finding, log: Log): Promise<Finding> => {
  const repaired = await drop(store, finding);
  if (repaired) await collectGarbage(store, log);
  return { ...finding, repaired };
};

const drop = async (store: ImageStore, { kind, subject }: Finding): Promise<boolean> => {
  const digest = subject as Digest;
  if (kind === 'orphan' || kind === 'lease') return false;
  if (kind === 'name') return dropName(store, subject);
  if (kind === 'blob' && isOnlyLayer(store, digest)) return dropKey(store, kind, digest);
  if (ownersOf(store, kind, digest).containers.length > 0) return false;
  for (const { id } of imagesWith(store, kind, digest)) await store.catalog.removeNames(id);
  return kind === 'image' || dropKey(store, kind, digest);
};

const isOnlyLayer = ({ catalog }: ImageStore, digest: Digest): boolean =>
  !catalog.images().some((image) => documentsOf(image).includes(digest) || isFileOf(image, digest)) &&
  !catalog.names().some(({ target }) => target === digest);

/** The files of an artifact are its blobs. */
const isFileOf = ({ artifact, layers }: StoredImage, blob: Digest): boolean =>
  artifact !== undefined && layers.some(({ digest }) => digest === blob);

const dropName = async ({ catalog }: ImageStore, text: string): Promise<boolean> => {
  const name = catalog.names().find((each) => each.name === text);
  if (name !== undefined) await catalog.removeName(name);
  return true;
};

/** Asked and forgotten in one turn: nobody can take it in between. */
const dropKey = async (store: ImageStore, kind: 'blob' | 'layer' | 'fixup', digest: Digest): Promise<boolean> => {
  if (store.holds.has(holdKey(kind, digest))) return false;
  if (kind !== 'blob' && ownersOf(store, kind, digest).containers.length > 0) return false;
  await { blob: store.blobs, layer: store.layers, fixup: store.fixups }[kind].remove(digest);
  return true;
};
