import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Digest, digestParts, isDigest } from '../../base/digest.ts';
import { BerthError, errnoOf, orMissing } from '../../base/errors.ts';
import { moveInto, namesIn, readLimited } from '../../base/files.ts';
import { KeyedLocks } from '../../base/locks.ts';
import { documentLimit } from '../json.ts';
import type { GarbageBin } from '../layers/trees.ts';
import type { Paths } from '../paths.ts';
import type { TakenPart } from './parts.ts';
import { checkBytes } from './verify.ts';
import { BlobWriter } from './writer.ts';

/** The blobs on disk by digest; what there is, is known from memory. */
export class BlobStore {
  readonly #paths: Paths;
  readonly #sizes: Map<Digest, number>;
  readonly #garbage: GarbageBin;
  readonly #locks = new KeyedLocks();

  private constructor(paths: Paths, sizes: Map<Digest, number>, garbage: GarbageBin) {
    this.#paths = paths;
    this.#sizes = sizes;
    this.#garbage = garbage;
  }

  static async open(paths: Paths, garbage: GarbageBin): Promise<BlobStore> {
    const found = await Promise.all(
      ['sha256', 'sha512'].map((algorithm) => sizesIn(paths.blobs(algorithm), algorithm)),
    );
    return new BlobStore(paths, new Map(found.flat()), garbage);
  }

  has(digest: Digest): boolean {
    return this.#sizes.has(digest);
  }

  /** In bytes; undefined when it is not there. */
  sizeOf(digest: Digest): number | undefined {
    return this.#sizes.get(digest);
  }

  /** Every blob with its size in bytes. */
  entries(): IterableIterator<[Digest, number]> {
    return this.#sizes.entries();
  }

  /** A small document, checked against its digest; undefined when it is not there. One whose bytes are no longer right goes. */
  async read(digest: Digest): Promise<Buffer | undefined> {
    const bytes = await this.#document(digest);
    if (bytes === undefined || isRight(bytes, digest)) return bytes;
    await this.remove(digest);
    return undefined;
  }

  /** The same, and nothing goes. */
  async look(digest: Digest): Promise<Buffer | undefined> {
    const bytes = await this.#document(digest);
    return bytes !== undefined && isRight(bytes, digest) ? bytes : undefined;
  }

  async #document(digest: Digest): Promise<Buffer | undefined> {
    return this.has(digest) ? readLimited(this.#paths.blob(digest), documentLimit) : undefined;
  }

  /** From the byte `start` on. Not checked: the reader checks. */
  async *stream(digest: Digest, start = 0): AsyncGenerator<Buffer> {
    const file = await openRegular(this.#paths.blob(digest));
    yield* file.createReadStream({ start, highWaterMark: 1 << 18 }) as AsyncIterable<Buffer>;
  }

  /** A writer whose `commit` is to be called by `add`, when the digest of its bytes is known; it goes on behind a part. */
  writer(part?: TakenPart): Promise<BlobWriter> {
    if (part !== undefined) return BlobWriter.resume(part.path, part.size);
    return BlobWriter.create(this.#paths.newTemporary('blob'));
  }

  /** Commits what the writer holds; the caller has checked size and digest. */
  add(digest: Digest, size: number, writer: BlobWriter): Promise<void> {
    return this.#locks.run(digest, async () => {
      await writer.commit(this.#paths.blob(digest), size);
      this.#sizes.set(digest, size);
    });
  }

  /** Stores a document whose digest has been checked. */
  async put(digest: Digest, bytes: Buffer): Promise<void> {
    if (this.has(digest)) return;
    await using writer = await this.writer();
    await writer.write(bytes);
    await this.add(digest, bytes.length, writer);
  }

  /** Forgets it at once and moves it away; it is deleted later. */
  remove(digest: Digest): Promise<void> {
    const size = this.#sizes.get(digest) ?? 0;
    this.#sizes.delete(digest);
    return this.#locks.run(digest, async () => {
      // Somebody has fetched it anew meanwhile.
      if (this.has(digest)) return;
      const gone = this.#paths.newTemporary('blob');
      // Somebody else may have deleted the file.
      await orMissing(moveInto(this.#paths.blob(digest), gone, { durable: false }));
      this.#garbage.add(gone, { bytes: onDisk(size), inodes: 1 });
    });
  }
}

/** What lies in a blob's place and is none, a link or a pipe that never ends, is a wrong blob. */
const openRegular = async (path: string): Promise<FileHandle> => {
  const wrong = new BerthError('data-loss', `${path}: not a regular file`);
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if ((await file.stat()).isFile()) return file;
    await file.close();
  } catch (error) {
    throw ['ELOOP', 'ENXIO'].includes(errnoOf(error) ?? '') ? wrong : error;
  }
  throw wrong;
};

const block = 4096;

/** What a file of so many bytes takes. */
export const onDisk = (size: number): number => Math.ceil(size / block) * block;

const isRight = (bytes: Buffer, digest: Digest): boolean => {
  try {
    checkBytes(bytes, digest, `blob ${digest}`);
    return true;
  } catch {
    return false;
  }
};

/** Names that are no digest are not ours and stay as they are. */
const sizesIn = async (directory: string, algorithm: string): Promise<[Digest, number][]> => {
  const digests = (await namesIn(directory)).map((name) => `${algorithm}:${name}`).filter(isDigest);
  const sizes = digests.map(async (digest): Promise<[Digest, number]> => {
    const { size } = await stat(join(directory, digestParts(digest).hex));
    return [digest, size];
  });
  return Promise.all(sizes);
};
