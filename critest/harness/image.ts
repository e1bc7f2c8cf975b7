import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Digest, digestParts, sha256 } from '../../base/digest.ts';
import { type TarEntry, tar } from './tar.ts';

/** A layer's tar and the same compressed. */
export interface Layer {
  readonly diffId: Digest;
  readonly digest: Digest;
  readonly blob: Buffer;
  /** Default: gzip's. */
  readonly mediaType?: string;
}

/** The `config` object of an image's configuration, as the image spec names its fields. */
export interface ImageSettings {
  readonly Env?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly User?: string;
  readonly WorkingDir?: string;
  readonly StopSignal?: string;
  readonly Labels?: Readonly<Record<string, string>>;
  readonly Volumes?: Readonly<Record<string, object>>;
}

export interface Descriptor {
  readonly mediaType: string;
  readonly size: number;
  readonly digest: Digest;
  readonly platform?: { readonly architecture: string; readonly os: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

/** An image with all its blobs, the config's and the manifest's among them. */
export interface Image {
  readonly id: Digest;
  readonly manifest: Descriptor;
  readonly blobs: ReadonlyMap<Digest, Buffer>;
}

const oci = 'application/vnd.oci.image';
export const mediaTypes = {
  manifest: `${oci}.manifest.v1+json`,
  index: `${oci}.index.v1+json`,
  config: `${oci}.config.v1+json`,
  layer: `${oci}.layer.v1.tar+gzip`,
  plainLayer: `${oci}.layer.v1.tar`,
  zstdLayer: `${oci}.layer.v1.tar+zstd`,
} as const;

export const layer = (entries: readonly TarEntry[]): Layer => {
  const plain = tar(entries);
  const blob = gzipSync(plain, { level: 1 });
  return { diffId: sha256(plain), digest: sha256(blob), blob };
};

export const architecture = process.arch === 'x64' ? 'amd64' : process.arch;

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

export const image = (
  layers: readonly Layer[],
  config: ImageSettings,
  platform = architecture,
  layerType: string = mediaTypes.layer,
): Image => {
  const rootfs = { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) };
  const configBlob = json({ created: '2023-11-14T22:13:20Z', architecture: platform, os: 'linux', config, rootfs });
  const id = sha256(configBlob);
  const manifestBlob = json({
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: { mediaType: mediaTypes.config, size: configBlob.length, digest: id },
    layers: layers.map(({ digest, blob, mediaType = layerType }) => ({ mediaType, size: blob.length, digest })),
  });
  const digest = sha256(manifestBlob);
  const manifest = {
    mediaType: mediaTypes.manifest,
    size: manifestBlob.length,
    digest,
    platform: { architecture: platform, os: 'linux' },
  };
  const blobs = new Map(layers.map((one) => [one.digest, one.blob]));
  return { id, manifest, blobs: blobs.set(id, configBlob).set(digest, manifestBlob) };
};

const put = async (path: string, data: string | Uint8Array): Promise<void> => {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, data);
};

const blobPath = (digest: Digest): string => {
  const { algorithm, hex } = digestParts(digest);
  return `${algorithm}/${hex}`;
};

/** Writes an OCI image layout of images by their whole names (`127.0.0.1:5000/berth/busybox:1`). */
export const writeLayout = async (directory: string, images: ReadonlyMap<string, Image>): Promise<void> => {
  const manifests = [...images].map(([name, { manifest }]) => ({
    ...manifest,
    annotations: { 'org.opencontainers.image.ref.name': name },
  }));
  await put(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await put(join(directory, 'index.json'), json({ schemaVersion: 2, mediaType: mediaTypes.index, manifests }));
  for (const { blobs } of images.values())
    for (const [digest, blob] of blobs) await put(join(directory, 'blobs', blobPath(digest)), blob);
};

/** Writes the directory that docker-registry's filesystem driver serves: blobs once, links to them a repository. */
export const writeRegistry = async (directory: string, images: ReadonlyMap<string, Image>): Promise<void> => {
  const v2 = join(directory, 'docker/registry/v2');
  for (const [name, { manifest, blobs }] of images) {
    const [, repository = '', tag = ''] = /^[^/]+\/(.+):([^:/]+)$/.exec(name) ?? [];
    const repo = join(v2, 'repositories', repository);
    for (const [digest, blob] of blobs) {
      const { algorithm, hex } = digestParts(digest);
      await put(join(v2, 'blobs', algorithm, hex.slice(0, 2), hex, 'data'), blob);
      await put(join(repo, '_layers', blobPath(digest), 'link'), digest);
    }
    await put(join(repo, '_manifests/revisions', blobPath(manifest.digest), 'link'), manifest.digest);
    await put(join(repo, '_manifests/tags', tag, 'current/link'), manifest.digest);
    await put(join(repo, '_manifests/tags', tag, 'index', blobPath(manifest.digest), 'link'), manifest.digest);
  }
};
