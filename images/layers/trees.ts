import { join } from 'node:path';
import { type Digest, digestParts, isDigest } from '../../base/digest.ts';
import { messageOf } from '../../base/errors.ts';
import { makeDirectory, moveInto, namesIn, readJson, readLimited, removeTree, writeAtomic } from '../../base/files.ts';
import { KeyedLocks } from '../../base/locks.ts';
import { isObject, sizeField } from '../json.ts';
import type { Paths } from '../paths.ts';
import type { Log } from '../types.ts';

/** What a tree holds on disk. */
export interface TreeSize {
  readonly bytes: number;
  readonly inodes: number;
}

export const recordsLimit = 16 << 20;

/**
 * Unpacked trees, one directory a digest: `fs/` the tree, `tree.json` its size, `records` what a fix-up layer needs to
 * know. Layers are kept by DiffID and fix-up layers by ChainID. What there is, is known from memory.
 */
export class Trees {
  readonly #directory: string;
  readonly #paths: Paths;
  readonly #sizes = new Map<Digest, TreeSize>();
  readonly #locks = new KeyedLocks();

  private constructor(directory: string, paths: Paths) {
    this.#directory = directory;
    this.#paths = paths;
  }

  /** A tree without a readable `tree.json` is set aside and removed (lesson A10: only the bad ones). */
  static async open(directory: string, paths: Paths, log: Log): Promise<Trees> {
    const trees = new Trees(directory, paths);
    const digests = (await namesIn(directory)).map((name) => `sha256:${name}`).filter(isDigest);
    await Promise.all(digests.map((digest) => trees.#load(digest, log)));
    return trees;
  }

  async #load(digest: Digest, log: Log): Promise<void> {
    try {
      const size = await readJson(join(this.#path(digest), 'tree.json'));
      if (!isObject(size)) throw new TypeError('tree.json is missing or not an object');
      this.#sizes.set(digest, { bytes: sizeField(size, 'bytes', 'tree'), inodes: sizeField(size, 'inodes', 'tree') });
    } catch (error) {
      log.warn({ path: this.#path(digest), error: messageOf(error) }, 'broken layer is removed');
      await this.remove(digest);
    }
  }

  #path(digest: Digest): string {
    return join(this.#directory, digestParts(digest).hex);
  }

  /** Where the tree itself is. */
  tree(digest: Digest): string {
    return join(this.#path(digest), 'fs');
  }

  has(digest: Digest): boolean {
    return this.#sizes.has(digest);
  }

  entries(): IterableIterator<[Digest, TreeSize]> {
    return this.#sizes.entries();
  }

  /** The records of the unpacker; empty when it had none. */
  async records(digest: Digest): Promise<Buffer> {
    return (await readLimited(this.recordsPath(digest), recordsLimit)) ?? Buffer.alloc(0);
  }

  recordsPath(digest: Digest): string {
    return join(this.#path(digest), 'records');
  }

  /** A new directory to unpack in, with an empty `fs`; disposing removes it unless it was added. */
  async scratch(kind: string): Promise<AsyncDisposable & { readonly path: string }> {
    const path = this.#paths.newTemporary(kind);
    await makeDirectory(join(path, 'fs'));
    return { path, [Symbol.asyncDispose]: () => discard(path) };
  }

  /** Commits a scratch directory whose `fs` has been synced. */
  add(digest: Digest, scratch: string, size: TreeSize, records: Buffer): Promise<void> {
    return this.#locks.run(digest, async () => {
      if (this.has(digest)) return;
      await removeTree(join(scratch, 'report'));
      if (records.length > 0) await writeAtomic(join(scratch, 'records'), records);
      await writeAtomic(join(scratch, 'tree.json'), JSON.stringify({ version: 1, ...size }));
      await moveInto(scratch, this.#path(digest));
      this.#sizes.set(digest, size);
    });
  }

  /** Forgets it at once; the tree is moved away whole before it is removed. */
  remove(digest: Digest): Promise<void> {
    this.#sizes.delete(digest);
    return this.#locks.run(digest, async () => {
      if (this.has(digest)) return;
      const gone = this.#paths.newTemporary('tree');
      await moveInto(this.#path(digest), gone);
      await removeTree(gone);
    });
  }
}

const discardTries = 50;

/** A helper that is being killed may still make files for a moment. */
const discard = async (path: string): Promise<void> => {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await removeTree(path);
    } catch (error) {
      if (attempt === discardTries) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
};
