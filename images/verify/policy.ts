import type { KeyObject } from 'node:crypto';

/**
 * Which name a signature must be for; the words are those of containers-policy.json(5), `signedIdentity`. `matchDigest` is
 * our own: the digest alone, for signatures that have no name.
 */
export type Identity =
  | { readonly kind: 'matchExact' | 'matchRepoDigestOrExact' | 'matchRepository' }
  | { readonly kind: 'matchDigest' }
  | { readonly kind: 'exactReference' | 'exactRepository'; readonly name: string }
  | { readonly kind: 'remapIdentity'; readonly prefix: string; readonly signedPrefix: string };

/** What has to hold before anything of an image is fetched. */
export type Requirement =
  | { readonly kind: 'accept' }
  | { readonly kind: 'reject' }
  /** A signature by one of the keys, for that name. */
  | { readonly kind: 'cosign'; readonly keys: readonly KeyObject[]; readonly identity: Identity }
  /** A program that ends with 0. */
  | { readonly kind: 'program'; readonly path: string; readonly args: readonly string[]; readonly timeoutMs: number };

export interface Policy {
  /** For what no scope names. */
  readonly otherwise: readonly Requirement[];
  /** By `host[:port][/path][:tag|@digest]`, `*.domain`, or "" for all registries. */
  readonly scopes: ReadonlyMap<string, readonly Requirement[]>;
}
