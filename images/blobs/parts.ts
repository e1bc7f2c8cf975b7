import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, digestParts, isDigest } from '../../base/digest.ts';
import { messageOf, orMissing } from '../../base/errors.ts';
import { moveInto, namesIn } from '../../base/files.ts';
import type { GarbageBin } from '../layers/trees.ts';
import type { Paths } from '../paths.ts';
import type { Log } from '../types.ts';

export interface PartLimits {
  /** Fewer bytes are not worth a file. */
  readonly leastBytes: number;
  /** Of all parts; the oldest go first. */
  readonly mostBytes: number;
  readonly longestMs: number;
}

export const partLimits: PartLimits = { leastBytes: 1 << 20, mostBytes: 4 * 2 ** 30, longestMs: 24 * 3_600_000 };

/** The first `size` bytes of a blob, in a file that is the taker's now. */
export interface TakenPart {
  readonly path: string;
  readonly size: number;
}

interface Part {
  readonly digest: Digest;
  readonly name: string;
  readonly size: number;
  /** Of these bytes, in hex. */
  readonly hash: string;
  readonly time: number;
}

/**
 * Beginnings of blobs whose transfer was cut short, for the next pull of the same digest. No image needs them: each goes
 * when it is taken, after a day, when there are too many, or with `clear`. Its file's name holds what it has to be:
 * `sha256-HEX.SIZE.HASH`; it is hashed before it is used, and dropped when it is something else.
 */
export class Parts {
  readonly #paths: Paths;
  readonly #garbage: GarbageBin;
  readonly #log: Log;
  readonly #limits: PartLimits;
  readonly #parts: Map<Digest, Part>;

  private constructor(paths: Paths, garbage: GarbageBin, log: Log, limits: PartLimits, parts: readonly Part[]) {
    this.#paths = paths;
    this.#garbage = garbage;
    this.#log = log;
    this.#limits = limits;
    this.#parts = new Map(parts.map((part) => [part.digest, part]));
  }

  static async open(paths: Paths, garbage: GarbageBin, log: Log, limits = partLimits): Promise<Parts> {
    const names = await namesIn(paths.partial);
    const parts = await Promise.all(names.map((name) => readPart(paths.partial, name)));
    const opened = new Parts(
      paths,
      garbage,
      log,
      limits,
      parts.filter((part) => part !== undefined),
    );
    await opened.collect();
    return opened;
  }

  /** Every part with its size in bytes. */
  entries(): readonly { readonly digest: Digest; readonly bytes: number }[] {
    return [...this.#parts.values()].map(({ digest, size }) => ({ digest, bytes: size }));
  }

  /** Keeps what the file in the temporary directory holds of a blob; what is not worth it stays there. */
  async keep(digest: Digest, path: string): Promise<void> {
    const { size } = await stat(path);
    const known = this.#parts.get(digest)?.size ?? 0;
    if (size < this.#limits.leastBytes || size > this.#limits.mostBytes || size <= known) return;
    const hash = await hashOf(path);
    const { algorithm, hex } = digestParts(digest);
    const name = `${algorithm}-${hex}.${size}.${hash}`;
    await this.#drop(digest);
    // Not synced: after a power loss its hash tells.
    await moveInto(path, join(this.#paths.partial, name), { durable: false });
    this.#parts.set(digest, { digest, name, size, hash, time: Date.now() });
    await this.collect();
  }

  /** The same for a file that is the caller's no more: it goes when it cannot be kept, and nothing is thrown. */
  async offer(digest: Digest, path: string): Promise<void> {
    try {
      await this.keep(digest, path);
    } catch (error) {
      this.#log.warn({ blob: digest, error: messageOf(error) }, 'what came of a blob cannot be kept');
    }
    if ((await orMissing(stat(path)).catch(() => undefined)) !== undefined) this.#garbage.add(path);
  }

  /** Gives the part away, into a file of the temporary directory; undefined when there is none that is right. */
  async take(digest: Digest, size: number): Promise<TakenPart | undefined> {
    const part = this.#parts.get(digest);
    if (part === undefined || part.size >= size) return undefined;
    this.#parts.delete(digest);
    const path = this.#paths.newTemporary('blob');
    try {
      await moveInto(join(this.#paths.partial, part.name), path, { durable: false });
      const found = await hashOf(path);
      if (found === part.hash) return { path, size: part.size };
      this.#log.warn({ blob: digest }, 'the kept part of a blob has changed on disk and is dropped');
    } catch (error) {
      this.#log.warn(
        { blob: digest, error: messageOf(error) },
        'the kept part of a blob cannot be read and is dropped',
      );
    }
    this.#garbage.add(path);
    return undefined;
  }

  /** Removes what is too old, and the oldest of what is too much. */
  async collect(): Promise<void> {
    const newest = [...this.#parts.values()].toSorted((a, b) => b.time - a.time);
    const since = Date.now() - this.#limits.longestMs;
    let total = 0;
    for (const { digest, size, time } of newest) {
      total += size;
      if (time < since || total > this.#limits.mostBytes) await this.#drop(digest);
    }
  }

  async clear(): Promise<void> {
    for (const digest of [...this.#parts.keys()]) await this.#drop(digest);
  }

  async #drop(digest: Digest): Promise<void> {
    const part = this.#parts.get(digest);
    if (part === undefined) return;
    this.#parts.delete(digest);
    const gone = this.#paths.newTemporary('blob');
    await moveInto(join(this.#paths.partial, part.name), gone, { durable: false });
    this.#garbage.add(gone);
  }
}

const hashOf = async (path: string): Promise<string> => {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 18 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
};

/** Undefined for what is not ours; that stays as it is. */
const readPart = async (directory: string, name: string): Promise<Part | undefined> => {
  const [, algorithm, hex, bytes, hash = ''] =
    /^(sha256|sha512)-([0-9a-f]+)\.(\d{1,15})\.([0-9a-f]{64})$/.exec(name) ?? [];
  const digest = `${algorithm}:${hex}`;
  const info = await orMissing(stat(join(directory, name)));
  if (!isDigest(digest) || info === undefined) return undefined;
  return { digest, name, size: Number(bytes), hash, time: info.mtimeMs };
};
