import { BerthError } from '../../base/errors.ts';
import type { Descriptor } from '../manifest.ts';
import { failureOf } from '../registry/reply.ts';
import { canRetry, pauseAfter, type RetryPolicy, temporary } from '../registry/temporary.ts';
import type { Reply } from '../registry/transport.ts';
import type { Destination } from './destination.ts';

/** Bytes. */
export interface UploadSizes {
  /** A blob up to this goes in one request, and again as a whole when that fails. */
  readonly small: number;
  /** The most that goes in one request of a larger one. */
  readonly chunk: number;
  /** The same after the registry, or a proxy before it, has said that a request was too large. */
  readonly smallChunk: number;
}

/** Few requests, since each is a round trip: a cut costs nothing, as the registry tells how far it got. */
export const uploadSizes: UploadSizes = { small: 4 << 20, chunk: 1 << 30, smallChunk: 16 << 20 };

export interface UploadJob {
  readonly blob: Descriptor;
  /** The blob's bytes from an offset on. */
  readonly read: (offset: number) => AsyncIterable<Buffer>;
  readonly sizes: UploadSizes;
  readonly policy: RetryPolicy;
  readonly signal: AbortSignal;
  /** Bytes that the connection has taken. */
  readonly report: (offset: number) => void;
}

/** An upload that the registry has begun (distribution spec, "Pushing blobs"). */
export interface UploadSession {
  readonly url: URL;
  /** So many bytes the registry has. */
  readonly offset: number;
  /** OCI-Chunk-Min-Length: what each chunk but the last has to have. */
  readonly least: number;
}

const octets = { 'content-type': 'application/octet-stream' };
const abandonMs = 2000;
/** A registry that cuts after every few bytes must not keep a push busy for ever. */
const mostCuts = 64;

/** Begins an upload. `reply`: of a mount that the registry made an upload of instead. */
export const beginUpload = async (
  to: Destination,
  what: string,
  signal: AbortSignal,
  reply?: Reply,
): Promise<UploadSession> => {
  const begun = reply ?? (await to.send(to.urlOf('blobs/uploads/'), { method: 'POST', headers: noBody, what }, signal));
  if (begun.status !== 202) throw await failureOf(begun, what);
  begun.discard();
  const least = Number(begun.headers['oci-chunk-min-length'] ?? 0);
  return { url: to.locationOf(begun, what), offset: 0, least: Number.isSafeInteger(least) ? least : 0 };
};

export const noBody = { 'content-length': '0' };

/** Sends a blob to its end; after a cut it goes on from where the registry says that it is. */
export class Upload {
  readonly #to: Destination;
  readonly #job: UploadJob;
  readonly #what: string;
  #session: UploadSession | undefined;
  #most: number;

  constructor(to: Destination, job: UploadJob, session: UploadSession | undefined) {
    this.#to = to;
    this.#job = job;
    this.#what = `blob ${job.blob.digest}`;
    this.#session = session;
    this.#most = job.sizes.chunk;
  }

  async run(): Promise<void> {
    const { policy, signal } = this.#job;
    let begun = 0;
    let failures = 0;
    for (let cuts = 0; ; cuts += 1) {
      try {
        this.#session ??= await beginUpload(this.#to, this.#what, signal);
        return await this.#send(this.#session);
      } catch (error) {
        failures = (this.#session?.offset ?? 0) > begun ? 1 : failures + 1;
        // Who cuts off what is too large may not say so first.
        if (failures > 1) this.#most = Math.min(this.#most, this.#job.sizes.smallChunk);
        const attempt = cuts < mostCuts ? failures : policy.tries;
        await pauseAfter(error, attempt, policy, signal).catch((final: unknown) => this.#abandon(final));
        const standing = await this.#standing();
        // What came through before the cut is a step on as well.
        if ((standing?.offset ?? 0) > (this.#session?.offset ?? 0)) failures = 0;
        this.#session = standing;
        begun = standing?.offset ?? 0;
      }
    }
  }

  async #send(begun: UploadSession): Promise<void> {
    const { blob, sizes } = this.#job;
    if (blob.size <= sizes.small && begun.offset === 0) return this.#finish(begun, await wholeOf(this.#job.read(0)));
    for (let session = begun; ; ) {
      if (session.offset >= blob.size) return this.#finish(session, undefined);
      session = await this.#chunk(session);
      this.#session = session;
    }
  }

  async #chunk({ url, offset, least }: UploadSession): Promise<UploadSession> {
    const { blob, signal } = this.#job;
    const end = Math.min(blob.size, offset + Math.max(this.#most, least));
    const headers = { ...octets, 'content-length': `${end - offset}`, 'content-range': `${offset}-${end - 1}` };
    const body = this.#observed(offset, end);
    const reply = await this.#to.sendStream(url, { method: 'PATCH', headers, body, what: this.#what }, signal);
    if (![201, 202, 204].includes(reply.status)) throw await this.#refusal(reply, end - offset);
    reply.discard();
    const reached = offsetIn(reply) ?? end;
    if (reached <= offset || reached > end)
      throw new BerthError(
        'unavailable',
        `${this.#what}: ${this.#to.host} says that it has ${reached} bytes of ${end}`,
      );
    return { url: this.#to.locationOf(reply, this.#what), offset: reached, least };
  }

  async #refusal(reply: Reply, length: number): Promise<BerthError> {
    const error = await failureOf(reply, this.#what);
    const { smallChunk } = this.#job.sizes;
    if (reply.status === 413 && length > smallChunk) {
      this.#most = smallChunk;
      return temporary(error);
    }
    // It has another offset, or the upload is gone: it is asked, and that decides.
    if (reply.status !== 416 && reply.status !== 404) return error;
    return temporary(new BerthError('unavailable', error.message));
  }

  async *#observed(offset: number, end: number): AsyncGenerator<Buffer> {
    let at = offset;
    for await (const chunk of this.#job.read(offset)) {
      const part = chunk.subarray(0, end - at);
      yield part;
      at += part.length;
      this.#job.report(at);
      if (at === end) return;
    }
    throw new BerthError('data-loss', `${this.#what}: ends after ${at} of ${this.#job.blob.size} bytes`);
  }

  async #finish({ url }: UploadSession, body: Buffer | undefined): Promise<void> {
    const { blob, signal } = this.#job;
    // Not by URLSearchParams, which would write the registry's own parameters anew.
    const place = new URL(`${url.href}${url.search === '' ? '?' : '&'}digest=${encodeURIComponent(blob.digest)}`);
    const headers = { ...octets, 'content-length': `${body?.length ?? 0}` };
    const request = { method: 'PUT', headers, what: this.#what, ...(body !== undefined && { body }) } as const;
    const reply = await this.#to.send(place, request, signal);
    if (reply.status !== 201 && reply.status !== 204) throw await failureOf(reply, this.#what);
    reply.discard();
  }

  /** How far the registry is; undefined when it has forgotten the upload, or cannot tell: then all begins anew. */
  async #standing(): Promise<UploadSession | undefined> {
    const session = this.#session;
    if (session === undefined) return undefined;
    try {
      const reply = await this.#to.send(session.url, { what: this.#what }, this.#job.signal);
      reply.discard();
      if (reply.status !== 204 && reply.status !== 200) return undefined;
      const url = reply.headers.location === undefined ? session.url : this.#to.locationOf(reply, this.#what);
      const offset = Math.min(offsetIn(reply) ?? 0, this.#job.blob.size);
      return { ...session, url, offset };
    } catch (error) {
      if (!canRetry(error)) throw error;
      return undefined;
    }
  }

  /** Tells the registry that nothing more comes. */
  async #abandon(error: unknown): Promise<never> {
    const { url } = this.#session ?? {};
    const signal = AbortSignal.timeout(abandonMs);
    if (url !== undefined)
      await this.#to.send(url, { method: 'DELETE', what: this.#what }, signal).then(
        (reply) => reply.discard(),
        () => undefined,
      );
    throw error;
  }
}

/** From `Range: 0-99`; 0-0 is what registries say of an upload without a byte. */
const offsetIn = ({ headers }: Reply): number | undefined => {
  const last = /^(?:bytes=)?0-(\d{1,16})$/.exec(headers.range ?? '')?.[1];
  if (last === undefined) return undefined;
  return last === '0' ? 0 : Number(last) + 1;
};

const wholeOf = async (chunks: AsyncIterable<Buffer>): Promise<Buffer> => {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
};
