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
  /** Not checked: the reader checks size and digest. */
  blob(descriptor: Descriptor, signal: AbortSignal): AsyncIterable<Buffer>;
  /** The same from the byte `begin` on; a source without it gives blobs only whole, and nothing of one is kept for later. */
  blobFrom?(descriptor: Descriptor, begin: number, signal: AbortSignal): AsyncIterable<Buffer>;
  /**
   * After what `blob` gave was not what the descriptor says, or failed: whether another place may do better. The next
   * `blob` then begins anew there. Sources with one place do not have it.
   */
  again?(descriptor: Descriptor, error: unknown): boolean;
}
