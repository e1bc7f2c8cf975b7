import { relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Digest, digestParts } from '../base/digest.ts';
import { isTemporary, namesIn } from '../base/files.ts';
import { type Finding, ownersOf } from './check-repair.ts';
import { documentsOf } from './disk.ts';
import type { ImageStore } from './store.ts';

const none = { owners: [], containers: [], repaired: false };

/** Records against what they name; from memory, which has what is on disk or will be asked for it when it is read. */
export const wrongRecords = (store: ImageStore): readonly Finding[] => {
  const { catalog, blobs, layers, fixups } = store;
  const lost = (digest: Digest): boolean => !blobs.has(digest);
  const images = catalog.images().flatMap((image): Finding[] => {
    const trees = image.lowers.filter(({ kind, digest }) => !(kind === 'layer' ? layers : fixups).has(digest));
    const parts = [...documentsOf(image).filter(lost), ...trees.map(({ kind, digest }) => `${kind} ${digest}`)];
    if (parts.length === 0) return [];
    const problem = `${parts.join(', ')}: not there`;
    return [{ kind: 'image', subject: image.id, problem, ...ownersOf(store, 'image', image.id), repaired: false }];
  });
  const names = catalog.names().flatMap(({ name, image, target }): Finding[] => {
    if (catalog.image(image) === undefined)
      return [{ kind: 'name', subject: name, problem: `image ${image}: not there`, ...none }];
    if (!lost(target)) return [];
    return [{ kind: 'name', subject: name, problem: `manifest ${target}: not there`, ...none, owners: [image] }];
  });
  const leases = catalog.leases().flatMap(({ container, image, volumes }): Finding[] => {
    const gone = [image, ...volumes].filter((id) => catalog.image(id) === undefined);
    if (gone.length === 0) return [];
    return [
      {
        kind: 'lease',
        subject: container,
        problem: `image ${gone.join(', ')}: not there`,
        ...none,
        containers: [container],
      },
    ];
  });
  return [...images, ...names, ...leases];
};

const settledMs = 500;
const mostLooks = 4;

/** What lies in the store's directories and belongs to nothing that is known. Berth never removes what it did not make. */
export const orphansIn = async (store: ImageStore): Promise<readonly Finding[]> => {
  let unknown = await unknownIn(store);
  // Something may be committed or removed in that moment, which a disk that is busy makes long.
  for (let looks = 1; looks < mostLooks && unknown.length > 0; looks += 1) {
    await sleep(settledMs);
    const again = new Set(await unknownIn(store));
    unknown = unknown.filter((path) => again.has(path));
  }
  return unknown.map((path) => ({
    kind: 'orphan',
    subject: relative(store.paths.base, path),
    problem: path.endsWith('.broken') ? 'a record that could not be read and was set aside' : 'belongs to nothing',
    ...none,
  }));
};

const unknownIn = async (store: ImageStore): Promise<readonly string[]> => {
  const { paths, blobs, layers, fixups, catalog } = store;
  const hex = (digests: Iterable<Digest>): readonly string[] => [...digests].map((digest) => digestParts(digest).hex);
  const keys = <K>(entries: Iterable<readonly [K, unknown]>): readonly K[] => [...entries].map(([key]) => key);
  const blobNames = (): readonly string[] => hex(keys(blobs.entries()));
  const places: readonly (readonly [string, () => readonly string[]])[] = [
    [paths.blobs('sha256'), blobNames],
    [paths.blobs('sha512'), blobNames],
    [paths.layers, () => hex(keys(layers.entries()))],
    [paths.fixups, () => hex(keys(fixups.entries()))],
    [paths.images, () => hex(catalog.images().map(({ id }) => id)).map((name) => `${name}.json`)],
    [paths.leases, () => catalog.leases().map(({ container }) => `${container}.json`)],
    [paths.names, () => catalog.nameFiles()],
  ];
  const found = places.map(async ([directory, known]) => {
    const names = (await namesIn(directory)).filter((name) => !isTemporary(name));
    const mine = new Set(known());
    return names.filter((name) => !mine.has(name)).map((name) => `${directory}/${name}`);
  });
  return (await Promise.all(found)).flat();
};
