import type { Digest } from '../../base/digest.ts';
import { readTar } from '../archive/tar-reader.ts';
import { holdKey } from '../holds.ts';
import { decompressed } from '../layers/decompress.ts';
import { Layout } from '../layout.ts';
import { type Choice, chooseEntry, chooseImage } from '../pull/choose.ts';
import { type PullTools, pullImage } from '../pull/pull.ts';
import { formatReference, type Reference } from '../reference.ts';
import type { Document } from '../source.ts';
import type { Platform, Progress } from '../types.ts';
import { verifyGiven } from '../verify/given.ts';
import type { Policies } from '../verify/policies.ts';
import { archiveContents, type Contents, layoutContents } from './contents.ts';
import { Spool } from './spool.ts';
import { wantedOf } from './wanted.ts';

export interface LoadJob {
  /** The archive's bytes, or the path of an OCI image layout directory. */
  readonly from: AsyncIterable<Buffer> | string;
  readonly name: string | undefined;
  /** Best first. */
  readonly platforms: readonly Platform[];
  readonly signal: AbortSignal;
  readonly report: (event: Progress) => void;
}

export interface LoadTools extends PullTools {
  readonly policies: Policies;
}

/** An image that is whole and has its names. */
export interface LoadedImage {
  readonly id: Digest;
  /** Of the manifest, or of the index that leads to it. */
  readonly digest: Digest;
  readonly names: readonly string[];
}

/**
 * Takes in the images of an archive or a layout; the way is that of a pull. Nothing is unpacked before it is known that each
 * image is there for one of the platforms.
 */
export const loadImages = async (tools: LoadTools, job: LoadJob): Promise<readonly LoadedImage[]> => {
  if (typeof job.from === 'string') {
    const layout = await Layout.open(job.from);
    return obtain(tools, job, await layoutContents(layout, job.from));
  }
  using spool = new Spool(tools.store, tools.layerLimit.bytes, 'archive');
  for await (const entry of readTar(decompressed(job.from, spool.what), spool.what)) {
    job.signal.throwIfAborted();
    await spool.add(entry);
  }
  const loaded = await obtain(tools, job, await archiveContents(spool));
  if (!tools.keepBlobs) await dropLayers(tools, spool);
  return loaded;
};

interface Root {
  readonly reference: Reference;
  readonly root: Document;
}

const obtain = async (
  tools: LoadTools,
  job: LoadJob,
  { source, document, entries, beside, what }: Contents,
): Promise<readonly LoadedImage[]> => {
  const { platforms, signal, report } = job;
  const roots: Root[] = [];
  const fetch = (digest: string): Promise<Document> => source.manifest(digest, signal);
  for (const wanted of wantedOf(entries, job.name, what)) {
    const root = await chooseEntry(document, wanted.entries, platforms, fetch, signal);
    const choice = await chooseImage(root, platforms, fetch, signal);
    await checkWhole(source, choice);
    const given = { reference: wanted.reference, target: root.digest, signatures: beside };
    await verifyGiven(tools, given, () => choice.documents, signal);
    roots.push({ reference: wanted.reference, root });
  }
  const loaded = new Map<string, LoadedImage>();
  for (const { reference, root } of roots) {
    const id = await pullImage(tools, { source, reference, root, platforms, signal, report });
    const key = `${id} ${root.digest}`;
    const names = [...(loaded.get(key)?.names ?? []), formatReference(reference)];
    loaded.set(key, { id, digest: root.digest, names });
  }
  return [...loaded.values()];
};

/** A layer that is missing is told before any is unpacked: an archive is loaded whole or not at all. */
const checkWhole = async (source: Contents['source'], { manifest }: Choice): Promise<void> => {
  for (const descriptor of [manifest.config, ...manifest.layers]) await source.check(descriptor);
};

/** With `keep_blobs = false` only the unpacked layers stay, and the blobs that are an artifact's files. */
const dropLayers = async ({ store }: PullTools, spool: Spool): Promise<void> => {
  const { blobs, catalog, holds } = store;
  const [artifacts, images] = [true, false].map((isArtifact) => {
    const some = catalog.images().filter(({ artifact }) => (artifact !== undefined) === isArtifact);
    return new Set(some.flatMap(({ layers }) => layers.map(({ digest }) => digest)));
  });
  const drop = spool.digests.filter((digest) => images?.has(digest) === true && artifacts?.has(digest) !== true);
  spool[Symbol.dispose]();
  // Somebody else may be reading one.
  const free = drop.filter((digest) => !holds.has(holdKey('blob', digest)));
  await Promise.all(free.map((digest) => blobs.remove(digest)));
};
