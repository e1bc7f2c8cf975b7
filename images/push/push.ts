import type { Digest } from '../../base/digest.ts';
import { BerthError, invalid } from '../../base/errors.ts';
import { closureOf, type KeptDocument } from '../export/closure.ts';
import { pickImage } from '../export/pick.ts';
import { holdKey } from '../holds.ts';
import type { Limit } from '../limit.ts';
import { nameOf, parseReference, type Reference } from '../reference.ts';
import { failureOf } from '../registry/reply.ts';
import { type RetryPolicy, retrying } from '../registry/temporary.ts';
import type { ImageStore } from '../store.ts';
import { pushBlob } from './blob.ts';
import type { Destination } from './destination.ts';
import type { UploadSizes } from './upload.ts';

/** `offset` of `total` bytes of a blob or manifest have been sent. */
export interface PushEvent {
  readonly digest: Digest;
  readonly offset: number;
  readonly total: number;
  readonly phase: 'waiting' | 'uploading' | 'done' | 'present' | 'mounted';
}

export interface PushTools {
  readonly store: ImageStore;
  readonly keepBlobs: boolean;
  readonly limit: Limit;
  readonly sizes: UploadSizes;
  readonly policy: RetryPolicy;
}

export interface PushJob {
  /** A name or id. */
  readonly image: string;
  readonly reference: Reference;
  readonly to: Destination;
  readonly signal: AbortSignal;
  readonly report: (event: PushEvent) => void;
}

export interface Pushed {
  /** What the destination stands for now. */
  readonly digest: Digest;
  /** The image came by an index of which only this machine's part is here. */
  readonly isPart: boolean;
}

/** Sends an image as it was pulled, digest for digest: blobs all at once, then manifests, and the name at last. */
export const pushImage = async (tools: PushTools, job: PushJob): Promise<Pushed> => {
  const { store, keepBlobs } = tools;
  const { image, target } = pickImage(store, job.image);
  using holds = new DisposableStack();
  holds.use(store.holds.take(holdKey('image', image.id)));
  const closure = await closureOf(store, image, target, keepBlobs);
  const { root, documents, blobs, isPart } = closure;
  for (const { digest } of [...documents, ...blobs]) holds.use(store.holds.take(holdKey('blob', digest)));
  if (job.reference.digest !== undefined && job.reference.digest !== root.digest)
    throw invalid(
      `the digest in ${nameOf(job.reference)}@${job.reference.digest} is not that of the image, ${root.digest}`,
    );
  if (!(await hasManifest(tools, job, root))) {
    await pushBlobs(tools, job, blobs);
    for (const document of documents.slice(0, -1)) await putManifest(tools, job, document, document.digest);
  }
  await putManifest(tools, job, root, job.reference.digest ?? job.reference.tag ?? 'latest');
  return { digest: root.digest, isPart };
};

type Blobs = Awaited<ReturnType<typeof closureOf>>['blobs'];

/** The first failure ends the others, and none is left running when this returns. */
const pushBlobs = async (tools: PushTools, job: PushJob, blobs: Blobs): Promise<void> => {
  const stop = new AbortController();
  const signal = AbortSignal.any([job.signal, stop.signal]);
  let first: { readonly cause: unknown } | undefined;
  const fail = (cause: unknown): void => {
    first ??= { cause };
    stop.abort(cause);
  };
  await Promise.all(blobs.map((blob) => pushOne(tools, { ...job, signal }, blob).catch(fail)));
  if (first !== undefined) throw first.cause;
};

const pushOne = async (tools: PushTools, job: PushJob, blob: Blobs[number]): Promise<void> => {
  const { digest, size: total } = blob;
  const { store, limit, sizes, policy } = tools;
  const { to, signal, report } = job;
  report({ digest, offset: 0, total, phase: 'waiting' });
  const onBytes = (offset: number): void => report({ digest, offset, total, phase: 'uploading' });
  const mounts = mountsOf(store, job.reference, digest);
  const work = { blob, blobs: store.blobs, mounts, sizes, policy, signal, report: onBytes };
  const phase = await limit.run(signal, () => pushBlob(to, work));
  report({ digest, offset: total, total, phase });
};

const mostMounts = 2;

/** Repositories of the same registry from which an image with this blob was pulled. */
const mountsOf = ({ catalog }: ImageStore, { host, repository }: Reference, digest: Digest): readonly string[] => {
  const having = new Set(
    catalog
      .images()
      .filter(({ id, layers }) => id === digest || layers.some((layer) => layer.digest === digest))
      .map(({ id }) => id),
  );
  // Only a pull makes a name by digest; others have never been at a registry.
  const names = catalog.names().filter(({ name, image }) => having.has(image) && name.includes('@'));
  const references = names.map(({ name }) => parseReference(name));
  const others = references.filter((other) => other.host === host && other.repository !== repository);
  return [...new Set(others.map((other) => other.repository))].slice(0, mostMounts);
};

/** A registry that has the manifest has all that it names. */
const hasManifest = ({ policy }: PushTools, { to, signal }: PushJob, { digest, mediaType }: KeptDocument) => {
  const what = `manifest ${digest}`;
  const ask = async (): Promise<boolean> => {
    const request = { method: 'HEAD', headers: { accept: mediaType }, what } as const;
    const reply = await to.send(to.urlOf(`manifests/${digest}`), request, signal);
    reply.discard();
    if (reply.status >= 500 || reply.status === 429) throw await failureOf(reply, what);
    return reply.status === 200 && reply.headers['docker-content-digest'] === digest;
  };
  return retrying(ask, policy, signal);
};

const putManifest = async (
  { policy }: PushTools,
  { to, signal, report }: PushJob,
  { digest, mediaType, bytes }: KeptDocument,
  name: string,
): Promise<void> => {
  const what = `manifest ${digest}`;
  const put = async (): Promise<void> => {
    const headers = { 'content-type': mediaType, 'content-length': `${bytes.length}` };
    const reply = await to.send(to.urlOf(`manifests/${name}`), { method: 'PUT', headers, body: bytes, what }, signal);
    if (reply.status !== 201 && reply.status !== 202) throw await failureOf(reply, what);
    reply.discard();
    const told = reply.headers['docker-content-digest'];
    if (typeof told === 'string' && told !== digest)
      throw new BerthError('data-loss', `${what}: ${to.host} has stored ${told.slice(0, 160)} instead`);
  };
  await retrying(put, policy, signal);
  report({ digest, offset: bytes.length, total: bytes.length, phase: 'done' });
};
