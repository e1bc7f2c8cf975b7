import { type Digest, digestParts } from '../../base/digest.ts';
import type { Descriptor } from '../manifest.ts';
import { parseReference } from '../reference.ts';
import type { Platform } from '../types.ts';
import type { Closure } from './closure.ts';

/** An image as it goes into an archive. */
export interface Exported {
  readonly closure: Closure;
  readonly id: Digest;
  readonly platform: Platform | undefined;
  readonly names: readonly string[];
}

/** A file of an archive: bytes, or a blob of the store. */
export type ArchiveFile =
  | { readonly path: string; readonly bytes: Buffer }
  | { readonly path: string; readonly blob: Descriptor };

const json = (path: string, value: unknown): ArchiveFile => ({ path, bytes: Buffer.from(JSON.stringify(value)) });

const blobPath = (digest: Digest): string => {
  const { algorithm, hex } = digestParts(digest);
  return `blobs/${algorithm}/${hex}`;
};

/** An OCI image layout that `docker load` reads as well (version 25 and later write the same), sorted by path. */
export const layoutFiles = (images: readonly Exported[]): readonly ArchiveFile[] => {
  const blobs = new Map<string, ArchiveFile>();
  for (const { closure } of images) {
    for (const { digest, bytes } of closure.documents) blobs.set(digest, { path: blobPath(digest), bytes });
    for (const blob of closure.blobs) blobs.set(blob.digest, { path: blobPath(blob.digest), blob });
  }
  return [
    ...[...blobs.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1)),
    json('index.json', indexOf(images)),
    json('manifest.json', manifestOf(images, blobPath, blobPath)),
    json('oci-layout', { imageLayoutVersion: '1.0.0' }),
  ];
};

const indexOf = (images: readonly Exported[]): object => ({
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.index.v1+json',
  manifests: images.flatMap((image) => image.names.map((name) => entryOf(image, name))),
});

/** As Docker and containerd name it; tools that look for a tag alone (skopeo, umoci) find that as well. */
const entryOf = ({ closure: { root, documents }, platform }: Exported, name: string): object => {
  const { tag } = parseReference(name);
  const isManifest = documents.length === 1;
  return {
    mediaType: root.mediaType,
    digest: root.digest,
    size: root.bytes.length,
    annotations: {
      'io.containerd.image.name': name,
      ...(tag !== undefined && { 'org.opencontainers.image.ref.name': tag }),
    },
    ...(isManifest && platform !== undefined && { platform }),
  };
};

/** A docker archive alone, with the paths of Docker 24 and before. */
export const dockerFiles = (images: readonly Exported[]): readonly ArchiveFile[] => {
  const configPath = (digest: Digest): string => `${digestParts(digest).hex}.json`;
  const layerPath = (digest: Digest): string => `${digestParts(digest).hex}/layer.tar`;
  const files = new Map<string, ArchiveFile>();
  for (const { closure } of images) {
    const { config, layers } = closure.manifest;
    files.set(configPath(config.digest), { path: configPath(config.digest), blob: config });
    for (const blob of layers) files.set(layerPath(blob.digest), { path: layerPath(blob.digest), blob });
  }
  const sorted = [...files.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1));
  return [...sorted, json('manifest.json', manifestOf(images, configPath, layerPath))];
};

/** What is no image that runs is not in it. */
const manifestOf = (
  images: readonly Exported[],
  configPath: (digest: Digest) => string,
  layerPath: (digest: Digest) => string,
): readonly object[] =>
  images
    .filter(({ closure: { manifest } }) => manifest.artifactType === undefined)
    .map(({ closure: { manifest }, names }) => ({
      Config: configPath(manifest.config.digest),
      RepoTags: names.filter((name) => !name.includes('@')),
      Layers: manifest.layers.map(({ digest }) => layerPath(digest)),
    }));
