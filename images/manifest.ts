import { type Digest, digestForms, isDigest } from '../base/digest.ts';
import { BerthError, invalid } from '../base/errors.ts';
import {
  documentLimit,
  isObject,
  type JsonObject,
  objectField,
  objectsField,
  parseObject,
  sizeField,
  textField,
  textMapField,
  textsField,
} from './json.ts';
import { configTypes, indexTypes, isForeignLayer, isSchema1, layerTypes, manifestTypes } from './media-types.ts';
import type { Platform } from './types.ts';

/** An OCI content descriptor; `size` in bytes. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly platform?: Platform;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ImageIndex {
  readonly kind: 'index';
  readonly manifests: readonly Descriptor[];
}

export interface ImageManifest {
  readonly kind: 'manifest';
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
  /** What it is when it is no image that can run: the manifest's artifactType, else its config's media type. */
  readonly artifactType?: string;
}

/** Overlay takes so many lower directories. */
export const mostLayers = 500;
const mostEntries = 1000;

/**
 * Reads an OCI index or manifest, a Docker manifest list or a schema 2 manifest. `declared` is the media type that the
 * registry or the parent's descriptor gave, empty when it gave none. Throws invalid-argument for what is malformed and
 * unimplemented for formats that are not supported.
 */
export const parseManifest = (bytes: Uint8Array, declared: string, what: string): ImageIndex | ImageManifest => {
  const document = parseObject(bytes, what);
  const kind = kindOf(document, declared, what);
  return kind === 'index' ? readIndex(document, what) : readManifest(document, what);
};

/** One that can be read as both, or whose types disagree, means different images to different clients. */
const kindOf = (document: JsonObject, declared: string, what: string): 'index' | 'manifest' => {
  checkSpelling(document, what);
  const own = textField(document, 'mediaType', what);
  if (isSchema1(own) || isSchema1(declared) || document.schemaVersion === 1)
    throw new BerthError('unimplemented', `${what}: Docker schema 1 is not supported; push the image again`);
  if (document.schemaVersion !== 2) throw invalid(`${what}: schemaVersion is not 2`);
  const kinds = [kindOfType(own), kindOfType(declared)].filter((kind) => kind !== undefined);
  if (own !== '' && kindOfType(own) === undefined)
    throw new BerthError('unimplemented', `${what}: media type ${own} is not an image`);
  const shape = 'manifests' in document ? 'index' : 'manifest';
  if ('manifests' in document && ('layers' in document || 'config' in document))
    throw invalid(`${what}: it is an index and a manifest at once`);
  if (kinds.some((kind) => kind !== shape)) throw invalid(`${what}: its media type is not that of its content`);
  return shape;
};

const meaning = ['schemaVersion', 'mediaType', 'artifactType', 'config', 'layers', 'manifests', 'subject'];

/** Go's decoder takes `Layers` for `layers`: to clients written in Go such a document says something else than to others. */
const checkSpelling = (document: JsonObject, what: string): void => {
  for (const key of Object.keys(document))
    if (!meaning.includes(key) && meaning.some((name) => name.toLowerCase() === key.toLowerCase()))
      throw invalid(`${what}: ${JSON.stringify(key)} is a field in another case`);
};

const kindOfType = (mediaType: string): 'index' | 'manifest' | undefined => {
  if (indexTypes.includes(mediaType)) return 'index';
  return manifestTypes.includes(mediaType) ? 'manifest' : undefined;
};

const readIndex = (document: JsonObject, what: string): ImageIndex => {
  const manifests = objectsField(document, 'manifests', what) ?? [];
  if (manifests.length > mostEntries) throw invalid(`${what}: more than ${mostEntries} manifests`);
  return { kind: 'index', manifests: manifests.map((item, i) => readDescriptor(item, `${what}: manifests[${i}]`)) };
};

const readManifest = (document: JsonObject, what: string): ImageManifest => {
  const config = objectField(document, 'config', what);
  const items = objectsField(document, 'layers', what);
  if (config === undefined || items === undefined) throw invalid(`${what}: it has no config or no layers`);
  if (items.length > mostLayers)
    throw new BerthError('unimplemented', `${what}: ${items.length} layers, at most ${mostLayers} can be mounted`);
  const layers = items.map((item, i) => readDescriptor(item, `${what}: layers[${i}]`));
  // The image's own size, which is told and kept, is their sum with its documents.
  if (!Number.isSafeInteger(layers.reduce((sum, { size }) => sum + size, 2 * documentLimit)))
    throw invalid(`${what}: the sizes of its layers are too large`);
  const read = {
    kind: 'manifest',
    config: readDescriptor(config, `${what}: config`),
    layers,
    annotations: textMapField(document, 'annotations', what),
  } as const;
  const artifactType = artifactTypeOf(document, read.config, what);
  if (artifactType !== undefined) return { ...read, artifactType };
  for (const layer of layers) checkLayer(layer, what);
  if (!read.config.digest.startsWith('sha256:'))
    throw invalid(`${what}: config ${read.config.digest}: an image id is a sha256`);
  return read;
};

/** As CRI-O tells them apart: an image has the config of one, or a config without a type, and says that it is nothing else. */
const artifactTypeOf = (document: JsonObject, { mediaType }: Descriptor, what: string): string | undefined => {
  const own = textField(document, 'artifactType', what);
  if (own !== '') return checkType(own, what);
  if (document.mediaType === dockerManifest && olderConfigTypes.includes(mediaType)) return undefined;
  return mediaType === '' || configTypes.includes(mediaType) ? undefined : checkType(mediaType, what);
};

const dockerManifest = 'application/vnd.docker.distribution.manifest.v2+json';
/** What old registries made of the type of a config that Docker 1.10 pushed (docker/distribution#1622, moby/moby#22378). */
const olderConfigTypes = ['application/octet-stream', 'application/json'];

/** It is told in errors and by `berth inspect`. */
const checkType = (mediaType: string, what: string): string => {
  if (!/^[A-Za-z0-9!#$&^_.+-]{1,127}\/[A-Za-z0-9!#$&^_.+;= -]{1,127}$/.test(mediaType))
    throw invalid(`${what}: ${JSON.stringify(mediaType.slice(0, 160))} is not a media type`);
  return mediaType;
};

const checkLayer = (layer: Descriptor, what: string): void => {
  if (isForeignLayer(layer.mediaType))
    throw new BerthError('unimplemented', `${what}: layer ${layer.digest} is a foreign layer, not in the registry`);
  if (layer.mediaType === '') throw invalid(`${what}: layer ${layer.digest} has no mediaType`);
  if (!layerTypes.includes(layer.mediaType))
    throw new BerthError(
      'unimplemented',
      `${what}: layer ${layer.digest}: media type ${layer.mediaType} is not supported`,
    );
};

export const readDescriptor = (item: JsonObject, what: string): Descriptor => {
  const digest = textField(item, 'digest', what);
  if (!isDigest(digest)) throw invalid(`${what}: digest ${JSON.stringify(digest.slice(0, 160))} is not ${digestForms}`);
  const platform = objectField(item, 'platform', what);
  return {
    mediaType: textField(item, 'mediaType', what),
    digest,
    size: sizeField(item, 'size', what),
    annotations: textMapField(item, 'annotations', what),
    ...(isObject(platform) && { platform: readPlatform(platform, `${what}: platform`) }),
  };
};

export const readPlatform = (item: JsonObject, what: string): Platform => {
  const variant = textField(item, 'variant', what);
  const features = textsField(item, 'os.features', what);
  return {
    os: textField(item, 'os', what),
    architecture: textField(item, 'architecture', what),
    ...(variant !== '' && { variant }),
    ...(features.length > 0 && { osFeatures: features }),
  };
};
