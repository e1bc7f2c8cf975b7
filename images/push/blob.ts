import { codeOf } from '../../base/errors.ts';
import type { BlobStore } from '../blobs/store.ts';
import { verified } from '../blobs/verify.ts';
import type { Descriptor } from '../manifest.ts';
import { failureOf } from '../registry/reply.ts';
import { type RetryPolicy, retrying } from '../registry/temporary.ts';
import type { Destination } from './destination.ts';
import { beginUpload, noBody, Upload, type UploadSession, type UploadSizes } from './upload.ts';

export interface BlobJob {
  readonly blob: Descriptor;
  readonly blobs: BlobStore;
  /** Repositories of the same registry that should have it. */
  readonly mounts: readonly string[];
  readonly sizes: UploadSizes;
  readonly policy: RetryPolicy;
  readonly signal: AbortSignal;
  readonly report: (offset: number) => void;
}

export type Way = 'present' | 'mounted' | 'done';

/** Makes the blob there: it is there already, or comes from another repository of the registry, or is sent. */
export const pushBlob = async (to: Destination, job: BlobJob): Promise<Way> => {
  const { policy, signal } = job;
  if (await retrying(() => hasBlob(to, job), policy, signal)) return 'present';
  const mounted = await mount(to, job);
  if (mounted === 'mounted') return 'mounted';
  const { blob, blobs, sizes, report } = job;
  const read = (offset: number): AsyncIterable<Buffer> => blobs.stream(blob.digest, offset);
  try {
    await new Upload(to, { blob, read, sizes, policy, signal, report }, mounted).run();
  } catch (error) {
    // A registry that finds the wrong digest may be right.
    if (codeOf(error) === 'failed-precondition') await check(blobs, blob);
    throw error;
  }
  return 'done';
};

const hasBlob = async (to: Destination, { blob: { digest }, signal }: BlobJob): Promise<boolean> => {
  const what = `blob ${digest}`;
  const reply = await to.send(to.urlOf(`blobs/${digest}`), { method: 'HEAD', what }, signal);
  reply.discard();
  // It is at a storage's host.
  if (reply.status === 200 || (reply.status >= 301 && reply.status <= 308)) return true;
  if (reply.status === 404) return false;
  throw await failureOf(reply, what);
};

/** The upload that the registry begins when it does not have the blob there, or nothing when it wants no mount at all. */
const mount = async (to: Destination, job: BlobJob): Promise<'mounted' | UploadSession | undefined> => {
  const { digest } = job.blob;
  const what = `blob ${digest}`;
  for (const from of job.mounts) {
    const url = to.urlOf('blobs/uploads/');
    url.searchParams.set('mount', digest);
    url.searchParams.set('from', from);
    try {
      const reply = await to.send(url, { method: 'POST', headers: noBody, what }, job.signal, from);
      if (reply.status === 202) return await beginUpload(to, what, job.signal, reply);
      reply.discard();
      if (reply.status === 201) return 'mounted';
    } catch (error) {
      // Who may not read the other repository can still upload.
      if (job.signal.aborted) throw error;
    }
  }
  return undefined;
};

const check = async (blobs: BlobStore, blob: Descriptor): Promise<void> => {
  for await (const _ of verified(blobs.stream(blob.digest), blob, `blob ${blob.digest} in the store`));
};
