import { isDeepStrictEqual } from 'node:util';
import { messageOf } from '../base/errors.ts';
import { type Finding, ownersOf } from './check-repair.ts';
import { parseConfig } from './image-config.ts';
import { parseManifest } from './manifest.ts';
import { annotationsOf, type StoredImage } from './records/stored.ts';
import type { ImageStore } from './store.ts';

/** Images whose record says something else than the documents that it was made of. What these are lost by is told elsewhere. */
export const wrongImages = async (store: ImageStore): Promise<readonly Finding[]> => {
  const findings: Finding[] = [];
  for (const image of store.catalog.images()) {
    const problem = await problemOf(store, image);
    if (problem !== undefined && store.catalog.image(image.id) === image)
      findings.push({
        kind: 'image',
        subject: image.id,
        problem,
        ...ownersOf(store, 'image', image.id),
        repaired: false,
      });
  }
  return findings;
};

const problemOf = async (store: ImageStore, image: StoredImage): Promise<string | undefined> => {
  try {
    return (await wrongConfig(store, image)) ?? (await wrongManifest(store, image));
  } catch (error) {
    return messageOf(error);
  }
};

const wrongConfig = async ({ blobs, layers }: ImageStore, image: StoredImage): Promise<string | undefined> => {
  const bytes = image.artifact === undefined ? await blobs.look(image.id) : undefined;
  if (bytes === undefined) return undefined;
  const { config, diffIds } = parseConfig(bytes, 'its configuration');
  if (!isDeepStrictEqual(config, image.config)) return 'its record has another configuration than its document';
  const own = image.layers.map(({ diffId }) => diffId);
  if (!isDeepStrictEqual(own, diffIds)) return 'its record has other layers than its configuration';
  // What an opaque root hides is not mounted.
  const bottom = diffIds.findLastIndex((diffId) => layers.facts(diffId)?.isOpaque === true);
  const mounted = image.lowers.filter(({ kind }) => kind === 'layer').map(({ digest }) => digest);
  const isSame = isDeepStrictEqual(mounted, diffIds.slice(Math.max(0, bottom)));
  return isSame ? undefined : 'its record mounts other layers than its configuration names';
};

const wrongManifest = async ({ blobs }: ImageStore, image: StoredImage): Promise<string | undefined> => {
  const bytes = await blobs.look(image.manifest);
  if (bytes === undefined) return undefined;
  const manifest = parseManifest(bytes, '', 'its manifest');
  const what = 'its record says something else than its manifest';
  if (manifest.kind !== 'manifest' || manifest.config.digest !== (image.artifact?.config ?? image.id)) return what;
  if (!isDeepStrictEqual({ ...annotationsOf(manifest.annotations) }.annotations, image.annotations)) return what;
  if (image.artifact !== undefined) return undefined;
  const own = image.layers.map(({ digest, size }) => `${digest} ${size}`);
  const told = manifest.layers.map(({ digest, size }) => `${digest} ${size}`);
  return isDeepStrictEqual(own, told) ? undefined : what;
};
