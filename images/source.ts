import type { Digest } from '../base/digest.ts';
import type { Descriptor } from './manifest.ts';

/** A manifest or index with the digest of its bytes; `mediaType` as the source told it, or empty. */
export interface Document {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: Digest;
}

/** Where images come from: a registry's repository, an image layout. */
export interface Source {
  /** By tag or digest; the bytes match the digest. */
  manifest(tagOrDigest: string, signal: AbortSignal): Promise<Document>;
  /** The index of what refers to a manifest; a source without it, or that answers not-found, knows none. */
  referrers?(digest: Digest, signal: AbortSignal): Promise<Document>;
  /** Not checked: the reader checks size and digest. */
  blob(descriptor: Descriptor, signal: AbortSignal): AsyncIterable<Buffer>;
  /** The same from the byte `begin` on; a source without it gives blobs only whole, and nothing of one is kept for later. */
  blobFrom?(descriptor: Descriptor, begin: number, signal: AbortSignal): AsyncIterable<Buffer>;
  /**
   * After what `blob` gave failed, or was not what it should be: returns when another place may do better, where the next
   * `blob` then begins anew. Else throws what all places have answered.
   */
  again?(descriptor: Descriptor, error: unknown): void;
}
