import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type Digest, digestParts } from '../base/digest.ts';

/** Where images/ keeps what, under `<root>/images`. */
export class Paths {
  readonly base: string;
  /** Everything unfinished or on its way out is here, so that an opened store has one place to empty. */
  readonly temporary: string;
  /** Beginnings of blobs for their next pull. */
  readonly partial: string;
  readonly images: string;
  readonly names: string;
  readonly leases: string;
  readonly layers: string;
  readonly fixups: string;
  /** The one layer of images that have none. */
  readonly empty: string;
  readonly socket: string;

  constructor(root: string) {
    this.base = join(root, 'images');
    this.temporary = join(this.base, 'tmp');
    this.partial = join(this.base, 'partial');
    this.images = join(this.base, 'images');
    this.names = join(this.base, 'names');
    this.leases = join(this.base, 'leases');
    this.layers = join(this.base, 'layers');
    this.fixups = join(this.base, 'fixups');
    this.empty = join(this.base, 'empty');
    this.socket = join(this.base, 'io.sock');
  }

  get directories(): readonly string[] {
    const blobs = [this.blobs('sha256'), this.blobs('sha512')];
    const records = [this.images, this.names, this.leases];
    return [...blobs, this.temporary, this.partial, ...records, this.layers, this.fixups, this.empty];
  }

  blobs(algorithm: string): string {
    return join(this.base, 'blobs', algorithm);
  }

  blob(digest: Digest): string {
    const { algorithm, hex } = digestParts(digest);
    return join(this.blobs(algorithm), hex);
  }

  layer(diffId: Digest): string {
    return join(this.layers, digestParts(diffId).hex);
  }

  fixup(chainId: Digest): string {
    return join(this.fixups, digestParts(chainId).hex);
  }

  image(id: Digest): string {
    return join(this.images, `${digestParts(id).hex}.json`);
  }

  /** A path that nothing else uses, in the same file system as all others. */
  newTemporary(kind: string): string {
    return join(this.temporary, `${kind}.${randomBytes(8).toString('hex')}`);
  }
}
