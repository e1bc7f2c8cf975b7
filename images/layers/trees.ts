import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, digestParts, isDigest } from '../../base/digest.ts';
import { messageOf, orMissing } from '../../base/errors.ts';
import {
  checkFormat,
  LaterFormat,
  makeDirectory,
  moveInto,
  namesIn,
  readJson,
  readLimited,
  removeTree,
  writeIn,
} from '../../base/files.ts';
import { KeyedLocks } from '../../base/locks.ts';
import { isObject, type JsonObject, objectField, sizeField, textField } from '../json.ts';
import type { Paths } from '../paths.ts';
import type { Log } from '../types.ts';
import type { RootAttributes } from './report.ts';

/** What a tree holds on disk. */
export interface TreeSize {
  readonly bytes: number;
  readonly inodes: number;
}

/** What a tree had when it was made (`tree-usage --sum --content`), 16 hex digits each. */
export interface TreeSums {
  /** Names, types, modes, owners, sizes, times, links, devices, extended attributes. */
  readonly attributes: string;
  /** The bytes of all files. */
  readonly content: string;
}

/** Where things go that nobody needs: Remover. */
export interface GarbageBin {
  add(path: string, size?: TreeSize): void;
}

/** What is known of a tree without looking into it; every image that shares it needs to know. */
export interface TreeFacts extends TreeSize {
  /** Undefined where its layer has no entry for the root. */
  readonly root?: RootAttributes | undefined;
  /** Nothing of the layers below it shows. */
  readonly isOpaque?: boolean;
  /** Trees that an older Berth made have none. */
  readonly sums?: TreeSums;
}

export const recordsLimit = 16 << 20;

/**
 * Unpacked trees, one directory a digest: `fs/` the tree, `tree.json` its facts, `records` what a fix-up layer needs to
 * know. Layers are kept by DiffID and fix-up layers by ChainID. What there is, is known from memory.
 */
export class Trees {
  readonly #directory: string;
  readonly #paths: Paths;
  readonly #garbage: GarbageBin;
  readonly #facts = new Map<Digest, TreeFacts>();
  #hasLater = false;
  readonly #locks = new KeyedLocks();

  private constructor(directory: string, paths: Paths, garbage: GarbageBin) {
    this.#directory = directory;
    this.#paths = paths;
    this.#garbage = garbage;
  }

  /** A tree without a readable `tree.json` is set aside and removed (lesson A10: only the bad ones). */
  static async open(directory: string, paths: Paths, garbage: GarbageBin, log: Log): Promise<Trees> {
    const trees = new Trees(directory, paths, garbage);
    const digests = (await namesIn(directory)).map((name) => `sha256:${name}`).filter(isDigest);
    await Promise.all(digests.map((digest) => trees.#load(digest, log)));
    return trees;
  }

  async #load(digest: Digest, log: Log): Promise<void> {
    try {
      this.#facts.set(digest, readFacts(await readJson(join(this.#path(digest), 'tree.json'))));
    } catch (error) {
      if (error instanceof LaterFormat) {
        this.#hasLater = true;
        log.warn({ path: this.#path(digest), error: messageOf(error) }, 'layer is of a later berthd: it is left alone');
        return;
      }
      log.warn({ path: this.#path(digest), error: messageOf(error) }, 'broken layer is removed');
      await this.remove(digest);
    }
  }

  /** Whether there are trees that only a later berthd knows. */
  get hasLater(): boolean {
    return this.#hasLater;
  }

  #path(digest: Digest): string {
    return join(this.#directory, digestParts(digest).hex);
  }

  /** Where the tree itself is. */
  tree(digest: Digest): string {
    return join(this.#path(digest), 'fs');
  }

  has(digest: Digest): boolean {
    return this.#facts.has(digest);
  }

  entries(): IterableIterator<[Digest, TreeFacts]> {
    return this.#facts.entries();
  }

  /** Undefined when it is not there. */
  facts(digest: Digest): TreeFacts | undefined {
    return this.#facts.get(digest);
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
    return { path, [Symbol.asyncDispose]: () => this.#discard(path) };
  }

  async #discard(path: string): Promise<void> {
    if ((await orMissing(stat(path))) !== undefined) this.#garbage.add(path);
  }

  /** Commits a scratch directory whose `fs` has been synced. */
  add(digest: Digest, scratch: string, facts: TreeFacts, records: Buffer): Promise<void> {
    return this.#locks.run(digest, async () => {
      if (this.has(digest)) return;
      await removeTree(join(scratch, 'report'));
      const json = JSON.stringify({ version: 1, ...facts });
      await writeIn(scratch, { 'tree.json': json, ...(records.length > 0 && { records }) });
      await moveInto(scratch, this.#path(digest));
      this.#facts.set(digest, facts);
    });
  }

  /** Forgets it at once and moves the tree away whole; it is deleted later. */
  remove(digest: Digest): Promise<void> {
    const size = this.#facts.get(digest);
    this.#facts.delete(digest);
    return this.#locks.run(digest, async () => {
      if (this.has(digest)) return;
      const gone = this.#paths.newTemporary('tree');
      // Somebody else may have deleted the directory.
      await orMissing(moveInto(this.#path(digest), gone, { durable: false }));
      // With its own directory and the file beside the tree.
      this.#garbage.add(gone, size && { bytes: size.bytes + 2 * 4096, inodes: size.inodes + 2 });
    });
  }
}

const readFacts = (value: unknown): TreeFacts => {
  if (!isObject(value)) throw new TypeError('tree.json is missing or not an object');
  // What the first of them wrote has no version.
  checkFormat({ version: 1, ...value }, 1);
  const size = { bytes: sizeField(value, 'bytes', 'tree'), inodes: sizeField(value, 'inodes', 'tree') };
  const root = objectField(value, 'root', 'tree');
  const sums = readSums(objectField(value, 'sums', 'tree'));
  const isOpaque = value.isOpaque === true;
  const facts = { ...size, isOpaque, ...(sums && { sums }) };
  if (root === undefined) return facts;
  const field = (name: keyof RootAttributes): number => sizeField(root, name, 'tree: root');
  return { ...facts, root: { mode: field('mode'), uid: field('uid'), gid: field('gid') } };
};

const readSums = (sums: JsonObject | undefined): TreeSums | undefined => {
  if (sums === undefined) return undefined;
  const field = (name: keyof TreeSums): string => textField(sums, name, 'tree: sums');
  return { attributes: field('attributes'), content: field('content') };
};
