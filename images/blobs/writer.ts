import { type FileHandle, open } from 'node:fs/promises';
import { BerthError } from '../../base/errors.ts';
import { moveInto, removeTree } from '../../base/files.ts';
import { step } from '../../base/step.ts';
import { shared, spent } from './spent.ts';

/** So much may wait for the disk before the network is made to wait. */
const mostPending = 1 << 20;
/** What is written is sent to the disk every so often, so that the sync at the end is short. */
const flushEvery = 32 << 20;

/** Linux's IOV_MAX. */
const mostVectors = 1024;

const dropFront = (chunks: Buffer[], bytes: number): void => {
  let left = bytes;
  for (let first = chunks[0]; first !== undefined && left >= first.length; first = chunks[0]) {
    left -= first.length;
    spent(first);
    chunks.shift();
  }
  if (chunks[0] !== undefined) chunks[0] = chunks[0].subarray(left);
};

/** A sync takes one of Node's few threads for as long as the disk wishes: there is one at a time of all files. */
let isFlushing = false;

/** The one streamed writer: bytes go to a temporary file that gets its name whole, synced, or not at all. */
export class BlobWriter implements AsyncDisposable {
  readonly #temporary: string;
  readonly #file: FileHandle;
  #tail: Promise<unknown> = Promise.resolve();
  #flushed: Promise<void> | undefined;
  #failure: unknown;
  /** What has come since the last write began: it is written by one call. */
  #waiting: Buffer[] = [];
  #pending = 0;
  #unflushed = 0;
  #isClosed = false;
  /** Bytes that the file had, and that are passed over when they come. */
  #surplus: number;
  /** Of the file. */
  #size: number;

  private constructor(temporary: string, file: FileHandle, had = 0) {
    this.#temporary = temporary;
    this.#file = file;
    this.#surplus = had;
    this.#size = had;
  }

  /** `temporary` is in the file system of the blobs and is not there yet. */
  static create(temporary: string): Promise<BlobWriter> {
    return step('create blob', async () => new BlobWriter(temporary, await open(temporary, 'wx', 0o600)));
  }

  /** The same with a file that holds the first `had` bytes already; `write` is to be given all of them. */
  static resume(temporary: string, had: number): Promise<BlobWriter> {
    return step('resume blob', async () => new BlobWriter(temporary, await open(temporary, 'a', 0o600), had));
  }

  /** Resolves when more may come; the chunk must not be changed afterwards. */
  async write(given: Buffer): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const chunk = given.subarray(Math.min(this.#surplus, given.length));
    this.#surplus -= given.length - chunk.length;
    if (chunk.length === 0) return;
    shared(chunk);
    this.#pending += chunk.length;
    this.#waiting.push(chunk);
    if (this.#waiting.length === 1) this.#queue(() => this.#writeWaiting());
    this.#unflushed += chunk.length;
    if (this.#unflushed >= flushEvery) this.flush();
    if (this.#pending > mostPending) await this.#tail;
  }

  /** Sends what is written to the disk, and holds nothing up; the next time when another file is being sent. */
  flush(): void {
    if (isFlushing || this.#unflushed === 0) return;
    isFlushing = true;
    this.#unflushed = 0;
    const done = async (): Promise<void> => {
      try {
        await this.#file.datasync();
      } catch (error) {
        this.#failure ??= error;
      } finally {
        isFlushing = false;
      }
    };
    this.#flushed = done();
  }

  #queue(action: () => Promise<unknown>): void {
    this.#tail = this.#tail
      .then(() => (this.#failure === undefined ? action() : undefined))
      .catch((error: unknown) => {
        this.#failure = error;
      });
  }

  async #writeWaiting(): Promise<void> {
    const chunks = this.#waiting;
    this.#waiting = [];
    while (chunks.length > 0) {
      const { bytesWritten } = await this.#file.writev(chunks.slice(0, mostVectors));
      this.#pending -= bytesWritten;
      this.#size += bytesWritten;
      dropFront(chunks, bytesWritten);
    }
  }

  async #settled(): Promise<void> {
    await this.#tail;
    await this.#flushed;
  }

  /** Makes the file of `size` bytes durable as `path`. */
  async commit(path: string, size: number): Promise<void> {
    await this.#settled();
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#size !== size)
      throw new BerthError('internal', `write ${path}: ${this.#size} bytes were written where ${size} came`);
    await this.#file.sync();
    await this.#close();
    await moveInto(this.#temporary, path);
  }

  /** Gives up the file as it is: its path, the caller's now unless it is still there when this is disposed. */
  async leave(): Promise<string | undefined> {
    await this.#settled();
    await this.#close();
    return this.#failure === undefined ? this.#temporary : undefined;
  }

  async #close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#file.close();
  }

  /** Removes what was not committed. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#settled();
    await this.#close();
    await removeTree(this.#temporary);
  }
}
