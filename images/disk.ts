import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Digest } from '../base/digest.ts';
import { onDisk } from './blobs/store.ts';
import { holdKey } from './holds.ts';
import { treeSize } from './layers/size.ts';
import type { TreeSize } from './layers/trees.ts';
import type { StoredImage, StoredName } from './records/stored.ts';
import type { ImageStore } from './store.ts';
import type { Helper } from './types.ts';

/** Bytes are blocks on disk. */
export interface DiskShare extends TreeSize {
  readonly count: number;
}

export interface ImageDisk {
  readonly id: Digest;
  readonly names: readonly string[];
  readonly pinned: boolean;
  /** Of layers and blobs that no other image has. */
  readonly uniqueBytes: number;
  readonly sharedBytes: number;
  readonly inodes: number;
  /** Ids of the containers that keep it. */
  readonly containers: readonly string[];
}

export interface ImagesDisk {
  readonly images: readonly ImageDisk[];
  readonly sharedLayers: DiskShare;
  readonly uniqueLayers: DiskShare;
  readonly blobs: DiskShare;
  readonly partial: DiskShare;
  readonly garbage: DiskShare;
}

const nothing: DiskShare = { count: 0, bytes: 0, inodes: 0 };
const plus = (sum: DiskShare, size: TreeSize): DiskShare => ({
  count: sum.count + 1,
  bytes: sum.bytes + size.bytes,
  inodes: sum.inodes + size.inodes,
});

/** The directory around the tree and `tree.json`; `records` is rare. */
const beside: TreeSize = { bytes: 2 * 4096, inodes: 2 };

/** Every blob and tree by the key that holds have; from memory. */
export const sizesByKey = ({ blobs, layers, fixups }: ImageStore): ReadonlyMap<string, TreeSize> => {
  const sizes = new Map<string, TreeSize>();
  for (const [digest, size] of blobs.entries()) sizes.set(holdKey('blob', digest), { bytes: onDisk(size), inodes: 1 });
  for (const [kind, trees] of [
    ['layer', layers],
    ['fixup', fixups],
  ] as const)
    for (const [digest, { bytes, inodes }] of trees.entries())
      sizes.set(holdKey(kind, digest), { bytes: bytes + beside.bytes, inodes: inodes + beside.inodes });
  return sizes;
};

/** Manifest and configuration. */
export const documentsOf = ({ id, manifest, artifact }: StoredImage): readonly Digest[] => [
  artifact?.config ?? id,
  manifest,
];

/** What a name needs beside its image. */
export const blobsOf = ({ target, blobs = [] }: StoredName): readonly Digest[] => [target, ...blobs];

/** What an image needs; `targets` is what its names need. */
export const keysOf = (image: StoredImage, targets: readonly Digest[]): readonly string[] => [
  ...new Set([
    ...[...documentsOf(image), ...targets].map((digest) => holdKey('blob', digest)),
    // A layer that an opaque one hides is no lower, but its next pull asks for it.
    ...image.layers.flatMap(({ digest, diffId }) => [holdKey('blob', digest), holdKey('layer', diffId)]),
    ...image.lowers.map(({ kind, digest }) => holdKey(kind, digest)),
  ]),
];

/** Which images need each key. */
const ownersByKey = ({ catalog }: ImageStore): ReadonlyMap<string, readonly Digest[]> => {
  const names = Map.groupBy(catalog.names(), ({ image }) => image);
  const owners = new Map<string, Digest[]>();
  for (const image of catalog.images())
    for (const key of keysOf(image, names.get(image.id)?.flatMap(blobsOf) ?? []))
      owners.set(key, [...(owners.get(key) ?? []), image.id]);
  return owners;
};

/** Each image with what it takes; from memory. */
export const imagesDisk = (store: ImageStore): readonly ImageDisk[] => {
  const { catalog } = store;
  const sizes = sizesByKey(store);
  const owners = [...ownersByKey(store)];
  const views = new Map(catalog.list().map((view) => [view.id, view]));
  const leases = catalog.leases();
  return catalog.images().map(({ id }) => {
    const view = views.get(id);
    const mine = owners.filter(([, images]) => images.includes(id));
    const total = (list: typeof mine, of: keyof TreeSize): number =>
      list.reduce((sum, [key]) => sum + (sizes.get(key)?.[of] ?? 0), 0);
    return {
      id,
      names: [...(view?.repoTags ?? []), ...(view?.repoDigests ?? [])],
      pinned: view?.pinned ?? false,
      uniqueBytes: total(
        mine.filter(([, images]) => images.length === 1),
        'bytes',
      ),
      sharedBytes: total(
        mine.filter(([, images]) => images.length > 1),
        'bytes',
      ),
      inodes: total(mine, 'inodes'),
      containers: leases
        .filter(({ image, volumes }) => image === id || volumes.includes(id))
        .map(({ container }) => container),
    };
  });
};

/** What the removal of these images would free; from memory. */
export const freedBy = (store: ImageStore, images: ReadonlySet<Digest>): TreeSize => {
  const sizes = sizesByKey(store);
  let freed: TreeSize = { bytes: 0, inodes: 0 };
  for (const [key, owners] of ownersByKey(store)) {
    if (!owners.every((id) => images.has(id))) continue;
    const { bytes, inodes } = sizes.get(key) ?? { bytes: 0, inodes: 0 };
    freed = { bytes: freed.bytes + bytes, inodes: freed.inodes + inodes };
  }
  return freed;
};

interface Tools {
  readonly helper: Helper;
  readonly program: string;
  readonly store: ImageStore;
}

/** Where the images' disk goes. Only what is unfinished or to be deleted is walked. */
export const diskOf = async (tools: Tools, signal: AbortSignal): Promise<ImagesDisk> => {
  const { store } = tools;
  const owners = ownersByKey(store);
  let [shared, unique, blobs, partial] = [nothing, nothing, nothing, nothing];
  for (const [key, size] of sizesByKey(store)) {
    const count = owners.get(key)?.length ?? 0;
    if (count === 0) partial = plus(partial, size);
    else if (key.startsWith('blob ')) blobs = plus(blobs, size);
    else if (count > 1) shared = plus(shared, size);
    else unique = plus(unique, size);
  }
  const waiting = store.remover.pending().paths;
  const unfinished = (await readdir(store.paths.temporary)).map((name) => join(store.paths.temporary, name));
  const measure = async (paths: readonly string[], from: DiskShare): Promise<DiskShare> => {
    let sum = from;
    for (const path of paths) sum = plus(sum, await treeSize(tools, path, signal));
    return sum;
  };
  partial = await measure(
    unfinished.filter((path) => !waiting.includes(path)),
    partial,
  );
  for (const { bytes } of store.parts.entries()) partial = plus(partial, { bytes: onDisk(bytes), inodes: 1 });
  const garbage = await measure(waiting, nothing);
  return { images: imagesDisk(store), sharedLayers: shared, uniqueLayers: unique, blobs, partial, garbage };
};
