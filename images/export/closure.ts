import type { Digest } from '../../base/digest.ts';
import { BerthError } from '../../base/errors.ts';
import { parseObject, textField } from '../json.ts';
import { type Descriptor, type ImageManifest, parseManifest } from '../manifest.ts';
import type { StoredImage } from '../records/stored.ts';
import type { ImageStore } from '../store.ts';

/** A manifest or index as it was pulled, byte for byte. */
export interface KeptDocument {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly bytes: Buffer;
}

/** All that an image is made of, as it was pulled. */
export interface Closure {
  /** What the image's name stands for. */
  readonly root: KeptDocument;
  /** The root and all below it; what another one names comes before that one. */
  readonly documents: readonly KeptDocument[];
  /** Configurations and layers, each once. */
  readonly blobs: readonly Descriptor[];
  /** The image's own manifest. */
  readonly manifest: ImageManifest;
  /** It was pulled by an index that names more than is here, so the root is the image's own manifest. */
  readonly isPart: boolean;
}

/** Indexes in an index, as for pulls. */
const deepest = 3;

/**
 * What `target`, which is what a name of the image stands for, leads to: an index with all that it names, where that is here, else
 * the image's manifest: never another than the name was given for. Throws failed-precondition when its blobs are not kept.
 */
export const closureOf = async (
  store: ImageStore,
  image: StoredImage,
  target: Digest,
  keepBlobs: boolean,
): Promise<Closure> => {
  const whole = await walk(store, target, 0);
  const digest = await ownManifest(store, image, target);
  const own = digest && (await manifestClosure(store, digest));
  if (own === undefined) throw notKept(image, [digest ?? target], keepBlobs);
  const missing = own.blobs.filter((blob) => !store.blobs.has(blob.digest)).map((blob) => blob.digest);
  if (missing.length > 0) throw notKept(image, missing, keepBlobs, own.manifest.artifactType !== undefined);
  const { documents, blobs } = whole ?? own;
  const root = documents.at(-1) ?? own.root;
  return { root, documents, blobs: unique(blobs), manifest: own.manifest, isPart: whole === undefined };
};

/**
 * The image's manifest below `target`: the same configuration may have come by several, with layers that are compressed otherwise,
 * and each name keeps the one that it was given for. Undefined when nothing of that is here.
 */
const ownManifest = async (
  store: ImageStore,
  image: StoredImage,
  target: Digest,
  depth = 0,
): Promise<Digest | undefined> => {
  if (target === image.manifest) return target;
  const document = await documentOf(store, target);
  const parsed = document && tryParse(document);
  if (parsed === undefined || depth >= deepest) return undefined;
  if (parsed.kind === 'manifest') return parsed.config.digest === image.id ? target : undefined;
  const found: Digest[] = [];
  for (const entry of parsed.manifests) {
    const own = await ownManifest(store, image, entry.digest, depth + 1);
    if (own !== undefined) found.push(own);
  }
  return found.includes(image.manifest) ? image.manifest : found[0];
};

interface Part {
  readonly documents: readonly KeptDocument[];
  readonly blobs: readonly Descriptor[];
}

const manifestClosure = async (store: ImageStore, digest: Digest) => {
  const root = await documentOf(store, digest);
  const parsed = root && parseManifest(root.bytes, '', `manifest ${digest}`);
  if (root === undefined || parsed?.kind !== 'manifest') return undefined;
  return { root, documents: [root], blobs: [parsed.config, ...parsed.layers], manifest: parsed };
};

/** Undefined when something below the digest is not here, or is nothing that Berth can read. */
const walk = async (store: ImageStore, digest: Digest, depth: number): Promise<Part | undefined> => {
  const root = await documentOf(store, digest);
  const parsed = root && tryParse(root);
  if (root === undefined || parsed === undefined) return undefined;
  if (parsed.kind === 'manifest') {
    const blobs = [parsed.config, ...parsed.layers];
    return blobs.every((blob) => store.blobs.has(blob.digest)) ? { documents: [root], blobs } : undefined;
  }
  const parts: Part[] = [];
  for (const entry of parsed.manifests) {
    const part = depth < deepest ? await walk(store, entry.digest, depth + 1) : undefined;
    if (part === undefined) return undefined;
    parts.push(part);
  }
  return {
    documents: [...parts.flatMap(({ documents }) => documents), root],
    blobs: parts.flatMap(({ blobs }) => blobs),
  };
};

const tryParse = ({ bytes, digest }: KeptDocument): ReturnType<typeof parseManifest> | undefined => {
  try {
    return parseManifest(bytes, '', `manifest ${digest}`);
  } catch {
    return undefined;
  }
};

const documentOf = async (store: ImageStore, digest: Digest): Promise<KeptDocument | undefined> => {
  const bytes = await store.blobs.look(digest);
  return bytes === undefined ? undefined : { bytes, digest, mediaType: mediaTypeOf(bytes) };
};

/** OCI documents need not say it themselves; Docker's always do. */
const mediaTypeOf = (bytes: Buffer): string => {
  const document = parseObject(bytes, 'manifest');
  const own = textField(document, 'mediaType', 'manifest');
  if (own !== '') return own;
  return `application/vnd.oci.image.${'manifests' in document ? 'index' : 'manifest'}.v1+json`;
};

const unique = (blobs: readonly Descriptor[]): readonly Descriptor[] => [
  ...new Map(blobs.map((blob) => [blob.digest, blob])).values(),
];

const notKept = (
  { id }: StoredImage,
  missing: readonly Digest[],
  keepBlobs: boolean,
  isArtifact = false,
): BerthError => {
  const which = `${missing.length === 1 ? 'a blob' : `${missing.length} blobs`} of it as pulled (${missing[0]})`;
  if (isArtifact)
    return new BerthError(
      'failed-precondition',
      `artifact ${id}: ${which} ${missing.length === 1 ? 'is' : 'are'} not here: only layers with a title, which are its files, are kept`,
    );
  const why = keepBlobs
    ? 'it came while keep_blobs was false, or its content with another image or under another name'
    : 'keep_blobs is false in [images] of the configuration, so only unpacked layers are kept';
  const advice = keepBlobs
    ? 'remove the image and pull it again'
    : 'set it to true, remove the image and pull it again';
  return new BerthError(
    'failed-precondition',
    `image ${id}: ${which} ${missing.length === 1 ? 'is' : 'are'} not here: ${why}; ${advice}`,
  );
};
