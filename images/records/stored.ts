import { type Digest, isDigest } from '../../base/digest.ts';
import { invalid } from '../../base/errors.ts';
import { checkFormat } from '../../base/files.ts';
import {
  isObject,
  type JsonObject,
  objectField,
  objectsField,
  sizeField,
  textField,
  textMapField,
  textsField,
} from '../json.ts';
import type { Lower } from '../layers/fixups.ts';
import type { ImageConfig, ImageLayer } from '../types.ts';

/** An image on disk: `images/<hex of its config>.json`. */
export interface StoredImage {
  readonly id: Digest;
  readonly manifest: Digest;
  readonly size: number;
  readonly config: ImageConfig;
  /** Lowest first. */
  readonly layers: readonly ImageLayer[];
  /** Lowest first. */
  readonly lowers: readonly Lower[];
  /** Of the manifest; left out where there are none, and where they are too many to be told in every list. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** What can be mounted and not run: its id is the digest of its manifest, and each layer is a file of its one tree. */
  readonly artifact?: StoredArtifact;
}

export interface StoredArtifact {
  /** Media type of what it is. */
  readonly type: string;
  /** Digest of the manifest's config. */
  readonly config: Digest;
}

/** A name on disk, one file each, so that a tag moves by one atomic write. */
export interface StoredName {
  readonly name: string;
  readonly image: Digest;
  /** The manifest or index that the name stood for when it was pulled. */
  readonly target: Digest;
  /** Whose policies have let it in, "" for the node's; left out where that is the node's alone. */
  readonly letIn?: readonly string[];
  /**
   * What it needs beside the image's own blobs: of a name that stands for the same configuration under another manifest, with
   * layers that are compressed otherwise, that manifest and those layers.
   */
  readonly blobs?: readonly Digest[];
}

/** What a container needs: the layers of its image and of the images that it mounts stay until the lease is released. */
export interface StoredLease {
  readonly container: string;
  readonly image: Digest;
  readonly volumes: readonly Digest[];
}

export const serialise = (record: StoredImage | StoredName | StoredLease): string =>
  `${JSON.stringify({ version: 1, ...record })}\n`;

const digestField = (object: JsonObject, key: string): Digest => {
  const text = textField(object, key, 'record');
  if (!isDigest(text)) throw invalid(`record: ${key} is not a digest`);
  return text;
};

const checkVersion = (value: unknown): JsonObject => {
  if (!isObject(value)) throw invalid('record: not an object');
  checkFormat(value, 1);
  return value;
};

export const readImage = (value: unknown): StoredImage => {
  const object = checkVersion(value);
  const artifact = objectField(object, 'artifact', 'record');
  const annotations = textMapField(object, 'annotations', 'record');
  const layers = (objectsField(object, 'layers', 'record') ?? []).map(readLayer);
  const lowers = (objectsField(object, 'lowers', 'record') ?? []).map(readLower);
  const top = layers.at(-1)?.diffId;
  if (top !== undefined && !lowers.some(({ digest }) => digest === top))
    throw invalid('record: its topmost layer is not among what is mounted');
  return {
    ...annotationsOf(annotations),
    ...(artifact && {
      artifact: { type: textField(artifact, 'type', 'record'), config: digestField(artifact, 'config') },
    }),
    id: digestField(object, 'id'),
    manifest: digestField(object, 'manifest'),
    size: sizeField(object, 'size', 'record'),
    config: readConfig(objectField(object, 'config', 'record') ?? {}),
    layers,
    lowers,
  };
};

const mostAnnotations = 16_384;

/** A record's field, or none: all images with their annotations have to fit into one answer. */
export const annotationsOf = (annotations: Readonly<Record<string, string>>): Pick<StoredImage, 'annotations'> => {
  const { length } = JSON.stringify(annotations);
  return length === 2 || length > mostAnnotations ? {} : { annotations };
};

const readLayer = (object: JsonObject): ImageLayer => ({
  diffId: digestField(object, 'diffId'),
  digest: digestField(object, 'digest'),
  size: sizeField(object, 'size', 'record'),
  mediaType: textField(object, 'mediaType', 'record'),
});

const readLower = (object: JsonObject): Lower => ({
  kind: object.kind === 'fixup' ? 'fixup' : 'layer',
  digest: digestField(object, 'digest'),
});

/** The `config` object of an image's configuration; a JSON null counts as left out. */
export const readConfig = (config: JsonObject, what = 'record'): ImageConfig => ({
  User: textField(config, 'User', what),
  Env: textsField(config, 'Env', what),
  Entrypoint: textsField(config, 'Entrypoint', what),
  Cmd: textsField(config, 'Cmd', what),
  WorkingDir: textField(config, 'WorkingDir', what),
  Volumes: Object.fromEntries(Object.keys(objectField(config, 'Volumes', what) ?? {}).map((path) => [path, {}])),
  StopSignal: textField(config, 'StopSignal', what),
  Labels: textMapField(config, 'Labels', what),
});

export const readName = (value: unknown): StoredName => {
  const object = checkVersion(value);
  const name = textField(object, 'name', 'record');
  const letIn = object.letIn === undefined ? undefined : textsField(object, 'letIn', 'record');
  const blobs = object.blobs === undefined ? undefined : textsField(object, 'blobs', 'record');
  if (blobs?.every(isDigest) === false) throw invalid('record: blobs: not digests');
  return {
    name,
    image: digestField(object, 'image'),
    target: digestField(object, 'target'),
    ...(letIn && { letIn }),
    ...(blobs && { blobs: blobs.filter(isDigest) }),
  };
};

export const readLease = (value: unknown): StoredLease => {
  const object = checkVersion(value);
  const volumes = textsField(object, 'volumes', 'record');
  if (!volumes.every(isDigest)) throw invalid('record: volumes: not digests');
  return { container: textField(object, 'container', 'record'), image: digestField(object, 'image'), volumes };
};
