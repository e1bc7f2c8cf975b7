import { type Digest, sha256 } from '../../base/digest.ts';
import { BerthError, invalid, notFound } from '../../base/errors.ts';
import type { SharedFlights } from '../flights.ts';
import { holdKey } from '../holds.ts';
import { type ConfigDocument, chainIds, parseConfig } from '../image-config.ts';
import { stackLowers } from '../layers/fixups.ts';
import type { UnpackTools } from '../layers/unpack.ts';
import type { Limit } from '../limit.ts';
import type { Descriptor, ImageManifest } from '../manifest.ts';
import { mostLayers } from '../manifest.ts';
import { timed } from '../meter.ts';
import { describePlatform, isSameMachine } from '../platform.ts';
import { annotationsOf, readConfig, type StoredImage } from '../records/stored.ts';
import { nameOf, type Reference } from '../reference.ts';
import type { Document, Source } from '../source.ts';
import type { ImageStore } from '../store.ts';
import type { ImageLayer, LayerLimit, Platform, Progress, PullMeter } from '../types.ts';
import { obtainArtifact } from './artifact.ts';
import { type Choice, chooseImage } from './choose.ts';
import { fetchDocument, fetchManifest } from './fetch.ts';
import { obtainLayer } from './layer.ts';

export interface PullTools extends UnpackTools {
  readonly store: ImageStore;
  readonly keepBlobs: boolean;
  readonly layerLimit: LayerLimit;
  readonly limit: Limit;
  readonly meter: PullMeter;
  readonly layerFlights: SharedFlights<void, Progress>;
}

export interface PullJob {
  readonly source: Source;
  readonly reference: Reference;
  /** What the reference stands for. */
  readonly root: Document;
  /** Best first. */
  readonly platforms: readonly Platform[];
  readonly signal: AbortSignal;
  readonly report: (event: Progress) => void;
  /** Throws when the image must not be pulled; asked before anything but manifests is fetched. */
  readonly verify?: (documents: Choice['documents']) => Promise<void>;
  /** Whose policy that is, if not the node's. */
  readonly by?: string;
  /** Pulls with the same ask the same hosts as the same user. */
  readonly origin?: string;
}

/** Makes everything of the image there, then its record, then its names. Gives the image id. */
export const pullImage = async (tools: PullTools, job: PullJob): Promise<Digest> => {
  const { store, meter } = tools;
  using _root = store.holds.take(holdKey('blob', job.root.digest));
  const fetch = fetchManifest(store.blobs, job.source);
  const choose = () => chooseImage(job.root, job.platforms, fetch, job.signal);
  const choice = await timed(meter, 'manifest', choose);
  await timed(meter, 'verify', async () => job.verify?.(choice.documents));
  const id = idOf(choice, job);
  using _image = store.holds.take(holdKey('image', id), ...keysOfManifest(choice));
  const fetchConfig = () => fetchDocument(store.blobs, job.source, choice.manifest.config, job.signal);
  const configBytes = await timed(meter, 'config', fetchConfig);
  if (choice.manifest.artifactType !== undefined) {
    using _tree = store.holds.take(holdKey('layer', id));
    const { artifactType } = choice.manifest;
    const artifact = await timed(meter, 'layers', () => assembleArtifact(tools, job, choice, id, artifactType));
    job.signal.throwIfAborted();
    await timed(meter, 'commit', () => commit(tools, job, choice, configBytes, artifact));
    return id;
  }
  const config = parseConfig(configBytes, `image config ${choice.manifest.config.digest}`);
  checkConfig(choice.manifest, config, job.platforms);
  const chain = chainIds(config.diffIds);
  using _layers = store.holds.take(
    ...config.diffIds.map((id) => holdKey('layer', id)),
    ...chain.map((id) => holdKey('fixup', id)),
  );
  const layers = choice.manifest.layers.map((descriptor, i) => layerOf(descriptor, config.diffIds[i]));
  await timed(meter, 'layers', () => obtainLayers(tools, job, choice.manifest.layers, layers));
  const image = await timed(meter, 'fixups', () => assemble(tools, job, choice, config, layers));
  job.signal.throwIfAborted();
  await timed(meter, 'commit', () => commit(tools, job, choice, configBytes, image));
  return image.id;
};

/**
 * An artifact's config is mostly the empty one, which says nothing: its manifest says which one it is. By SHA-256 as every id,
 * also where the registry knows it by another digest.
 */
const idOf = ({ manifest, documents }: Choice, { root }: PullJob): Digest =>
  manifest.artifactType === undefined ? manifest.config.digest : sha256((documents.at(-1) ?? root).bytes);

const keysOfManifest = ({ manifest, documents }: Choice): readonly string[] =>
  [manifest.config, ...manifest.layers, ...documents].map(({ digest }) => holdKey('blob', digest));

const noConfig = readConfig({});

const assembleArtifact = async (
  tools: PullTools,
  job: PullJob,
  { manifest, documents }: Choice,
  id: Digest,
  type: string,
): Promise<StoredImage> => {
  const files = await obtainArtifact(tools, job, id, manifest);
  const layers = files.map(({ descriptor: { digest, size, mediaType } }) => ({ diffId: id, digest, size, mediaType }));
  const last = documents.at(-1) ?? job.root;
  const sizes = [last.bytes.length, manifest.config.size, ...layers.map(({ size }) => size)];
  return {
    id,
    manifest: last.digest,
    size: sizes.reduce((sum, size) => sum + size, 0),
    config: noConfig,
    layers,
    lowers: [{ kind: 'layer', digest: id }],
    ...annotationsOf(manifest.annotations),
    artifact: { type, config: manifest.config.digest },
  };
};

const layerOf = ({ digest, size, mediaType }: Descriptor, diffId: Digest | undefined): ImageLayer => {
  if (diffId === undefined) throw invalid(`layer ${digest}: the image config has no diff_id for it`);
  return { diffId, digest, size, mediaType };
};

const checkConfig = (manifest: ImageManifest, config: ConfigDocument, platforms: readonly Platform[]): void => {
  const { digest } = manifest.config;
  if (config.diffIds.length !== manifest.layers.length)
    throw invalid(
      `image config ${digest}: ${config.diffIds.length} diff_ids for the manifest's ${manifest.layers.length} layers`,
    );
  // Old tools left it out.
  if (config.platform.architecture === '') return;
  const [best] = platforms;
  if (best === undefined || platforms.some((item) => isSameMachine(item, config.platform))) return;
  throw notFound(
    `image config ${digest}: the image is for ${describePlatform(config.platform)}, not for ${describePlatform(best)}`,
  );
};

/** All at once; the first failure ends the others, and none is left running when this returns. */
const obtainLayers = async (
  tools: PullTools,
  job: PullJob,
  descriptors: readonly Descriptor[],
  layers: readonly ImageLayer[],
): Promise<void> => {
  const stop = new AbortController();
  const signal = AbortSignal.any([job.signal, stop.signal]);
  const tasks = layers.map(async ({ diffId }, i) => {
    const descriptor = descriptors[i];
    if (descriptor !== undefined) await obtainOne(tools, { ...job, signal }, descriptor, diffId);
  });
  let first: unknown;
  const watched = tasks.map((task) =>
    task.catch((error: unknown) => {
      first ??= error;
      stop.abort(error);
    }),
  );
  await Promise.all(watched);
  if (first !== undefined) throw first;
};

const obtainOne = (tools: PullTools, job: PullJob, descriptor: Descriptor, diffId: Digest): Promise<void> => {
  const { digest, size: total } = descriptor;
  const { store, limit, meter } = tools;
  const wasThere = store.layers.has(diffId);
  const fly: Parameters<typeof tools.layerFlights.join>[3] = async ({ signal, report }) => {
    report({ digest, offset: 0, total, phase: 'waiting' });
    const onBytes = (offset: number): void => report({ digest, offset, total, phase: 'fetching' });
    const work = { source: job.source, descriptor, diffId, wasThere, signal, report: onBytes };
    const stores = { blobs: store.blobs, parts: store.parts, layers: store.layers };
    await limit.run(signal, () => timed(meter, 'layer', () => obtainLayer({ ...tools, ...stores }, work)));
    report({ digest, offset: total, total, phase: 'done' });
  };
  // Who began before keep_blobs was set makes the layer alone; who has begun since is to have the blob as well.
  const key = tools.keepBlobs ? diffId : `${diffId} without its blob`;
  return tools.layerFlights.join(key, job.signal, job.report, fly, job.origin);
};

const assemble = async (
  tools: PullTools,
  job: PullJob,
  { manifest, documents }: Choice,
  config: ConfigDocument,
  layers: readonly ImageLayer[],
): Promise<StoredImage> => {
  const { layers: layerTrees, fixups } = tools.store;
  const lowers = await stackLowers({ ...tools, layers: layerTrees, fixups }, config.diffIds, job.signal);
  if (lowers.length > mostLayers)
    throw new BerthError('unimplemented', `image ${manifest.config.digest}: ${lowers.length} layers with its fix-ups`);
  const last = documents.at(-1) ?? job.root;
  const sizes = [last.bytes.length, manifest.config.size, ...layers.map(({ size }) => size)];
  return {
    id: manifest.config.digest,
    manifest: last.digest,
    size: sizes.reduce((sum, size) => sum + size, 0),
    config: config.config,
    layers,
    lowers,
    ...annotationsOf(manifest.annotations),
  };
};

/**
 * The same configuration may be here under another manifest, with layers that are compressed otherwise. The record stays with that
 * one while its blobs are here, and the names of the new one have theirs, so that each is saved as it came.
 */
const recordOf = ({ blobs, catalog }: ImageStore, image: StoredImage): StoredImage => {
  const known = catalog.image(image.id);
  const isOtherwise = known?.layers.some(({ digest }, index) => digest !== image.layers[index]?.digest) === true;
  return isOtherwise && known.layers.every(({ digest }) => blobs.has(digest)) ? known : image;
};

/** The name comes last: it never points to what is not whole. The tag comes after the digest, so no tag lacks one. */
const commit = async (
  { store, keepBlobs }: PullTools,
  { reference, root, by }: PullJob,
  { manifest, documents }: Choice,
  configBytes: Buffer,
  image: StoredImage,
): Promise<void> => {
  const { blobs, catalog } = store;
  await Promise.all([
    blobs.put(manifest.config.digest, configBytes),
    ...documents.map(({ digest, bytes }) => blobs.put(digest, bytes)),
  ]);
  const record = recordOf(store, image);
  await catalog.addImage(record);
  const own = { blobs: [image.manifest, ...image.layers.map(({ digest }) => digest)] };
  const name = { image: image.id, target: root.digest, ...(keepBlobs && record.manifest !== image.manifest && own) };
  await catalog.addName({ name: `${nameOf(reference)}@${root.digest}`, ...name }, by);
  if (reference.tag !== undefined)
    await catalog.addName({ name: `${nameOf(reference)}:${reference.tag}`, ...name }, by);
};
