import { createHash, type Hash } from 'node:crypto';
import { type Digest, digestParts } from '../../base/digest.ts';
import { BerthError } from '../../base/errors.ts';

const headLength = 8;

/** Finds the digest of a file while it is read, and keeps its first bytes. */
export class Reading {
  readonly #named: Digest | undefined;
  readonly #hash: Hash;
  head: Buffer = Buffer.alloc(0);

  /** `named`: the digest that it is to have; undefined gets a sha256. */
  constructor(named: Digest | undefined) {
    this.#named = named;
    this.#hash = createHash(named === undefined ? 'sha256' : digestParts(named).algorithm);
  }

  take(chunk: Buffer): void {
    if (this.head.length < headLength) this.head = Buffer.concat([this.head, chunk.subarray(0, headLength)]);
    this.#hash.update(chunk);
  }

  /** Throws data-loss when it is not the digest that was named. */
  end(what: string): Digest {
    const hex = this.#hash.digest('hex');
    const named = this.#named;
    if (named === undefined) return `sha256:${hex}` as Digest;
    const { algorithm, hex: expected } = digestParts(named);
    if (hex === expected) return named;
    throw new BerthError('data-loss', `${what}: its content has the digest ${algorithm}:${hex}`);
  }
}
