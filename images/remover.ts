import { statfs } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../base/errors.ts';
import { syncDirectory } from '../base/files.ts';
import { runHelper } from './layers/helper.ts';
import { treeSize } from './layers/size.ts';
import type { TreeSize } from './layers/trees.ts';
import type { Paths } from './paths.ts';
import type { Helper, Log } from './types.ts';

export interface RemoverOptions {
  readonly helper: Helper;
  readonly program: string;
  readonly paths: Paths;
  readonly log: Log;
}

interface Garbage {
  readonly path: string;
  size: TreeSize | undefined;
}

/** After the start and after the last pull: who removes an image and pulls another one comes in between. */
const quietMs = 1000;
/** Below this share of free bytes or inodes nothing is more urgent than to delete. */
const pressed = 0.2;
const inodesInBatch = 20_000;
const pathsInBatch = 32;

/**
 * Deletes in the background what was moved into the temporary directory: one process of the lowest priority, and none
 * while somebody pulls, unless somebody waits for it. An ext4 without a journal leaves freed inodes alone for minutes and
 * makes each new file search for others, up to twenty times as long; everywhere the two would share the disk. What is left
 * at the end of the daemon goes on at its next start.
 */
export class Remover implements AsyncDisposable {
  readonly #options: RemoverOptions;
  #waiting: Garbage[] = [];
  /** What could not be deleted: tried again with the next garbage. */
  #failed: Garbage[] = [];
  #pulls = 0;
  /** So many are deleted one by one. */
  #alone = 0;
  #quietUntil = performance.now() + quietMs;
  #urgent = 0;
  /** So many wait for the end of it: it begins at once, and no pull ends it. */
  #awaited = 0;
  #run: Promise<void> | undefined;
  #attempt = new AbortController();
  #wake = new AbortController();
  #isClosed = false;
  #deleted: TreeSize = { bytes: 0, inodes: 0 };

  constructor(options: RemoverOptions) {
    this.#options = options;
  }

  /** `path` is in the temporary directory and nobody's any more. Without its size it is measured first. */
  add(path: string, size?: TreeSize): void {
    this.#waiting.push({ path, size }, ...this.#failed.splice(0));
    this.#start();
  }

  /** What is not deleted yet; that of which the size is not known yet counts nothing. */
  pending(): TreeSize & { readonly paths: readonly string[] } {
    const all = [...this.#waiting, ...this.#failed];
    const sum = (of: keyof TreeSize): number => all.reduce((total, { size }) => total + (size?.[of] ?? 0), 0);
    return { paths: all.map(({ path }) => path), bytes: sum('bytes'), inodes: sum('inodes') };
  }

  /** Since the start of the daemon. */
  get deleted(): TreeSize {
    return this.#deleted;
  }

  /** Nothing is deleted until the result is disposed, unless it is urgent or somebody waits for it. */
  pause(): Disposable {
    this.#pulls += 1;
    if (this.#urgent + this.#awaited === 0) this.#attempt.abort();
    return {
      [Symbol.dispose]: () => {
        this.#pulls -= 1;
        this.#quietUntil = performance.now() + quietMs;
      },
    };
  }

  /** Deletes everything that waits, now and at full speed. Gives up its own waiting with the signal. */
  async flush(signal: AbortSignal): Promise<void> {
    this.#urgent += 1;
    try {
      if (this.#failed.length > 0) this.#waiting.push(...this.#failed.splice(0));
      // A helper of low priority is ended for one without.
      this.#attempt.abort();
      await this.#ran(signal);
    } finally {
      this.#urgent -= 1;
    }
  }

  /** Deletes what waits, now and with the low priority, also beside pulls. Gives up its own waiting with the signal. */
  async settled(signal: AbortSignal): Promise<void> {
    this.#awaited += 1;
    try {
      await this.#ran(signal);
    } finally {
      this.#awaited -= 1;
    }
  }

  async #ran(signal: AbortSignal): Promise<void> {
    this.#wake.abort();
    this.#start();
    const gone = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    if (!signal.aborted) await Promise.race([this.#run, gone]);
  }

  async isPressed(): Promise<boolean> {
    const { blocks, bavail, files, ffree } = await statfs(this.#options.paths.base);
    return bavail < blocks * pressed || (files > 0 && ffree < files * pressed);
  }

  #start(): void {
    if (this.#isClosed || this.#waiting.length === 0) return;
    this.#run ??= this.#work().finally(() => {
      this.#run = undefined;
      // Something came after the last look.
      this.#start();
    });
  }

  async #work(): Promise<void> {
    // Whoever adds goes on first: what is removed together is deleted together.
    await Promise.resolve();
    while (this.#waiting.length > 0 && !this.#isClosed) {
      const isUrgent = this.#urgent > 0 || (await this.isPressed().catch(() => true));
      if (isUrgent || this.#awaited > 0 || this.#isQuiet()) await this.#deleteSome(isUrgent);
      else await this.#rest();
    }
  }

  #isQuiet(): boolean {
    return this.#pulls === 0 && performance.now() >= this.#quietUntil;
  }

  /** A pull can take for ever: looked at from time to time, also for the pressure. */
  async #rest(): Promise<void> {
    this.#wake = new AbortController();
    const ms = this.#pulls > 0 ? quietMs : Math.max(1, this.#quietUntil - performance.now());
    await sleep(ms, undefined, { ref: false, signal: this.#wake.signal }).catch(() => undefined);
  }

  async #deleteSome(isUrgent: boolean): Promise<void> {
    this.#attempt = new AbortController();
    const { signal } = this.#attempt;
    const batch = this.#batch();
    try {
      for (const garbage of batch) garbage.size ??= await treeSize(this.#options, garbage.path, signal);
      await this.#settle();
      await this.#delete(batch, signal, isUrgent);
    } catch (error) {
      if (signal.aborted) return;
      // What cannot be deleted keeps nothing else: each is tried alone.
      if (batch.length > 1) this.#alone = batch.length;
      else this.#setAside(batch, error);
      return;
    }
    this.#waiting = this.#waiting.filter((garbage) => !batch.includes(garbage));
    const add = (of: keyof TreeSize): number =>
      batch.reduce((sum, { size }) => sum + (size?.[of] ?? 0), this.#deleted[of]);
    this.#deleted = { bytes: add('bytes'), inodes: add('inodes') };
  }

  #batch(): readonly Garbage[] {
    if (this.#alone > 0) {
      this.#alone -= 1;
      return this.#waiting.slice(0, 1);
    }
    let inodes = 0;
    const fits = ({ size }: Garbage, at: number): boolean => {
      inodes += size?.inodes ?? inodesInBatch;
      return at === 0 || (at < pathsInBatch && inodes <= inodesInBatch);
    };
    const end = this.#waiting.findIndex((garbage, at) => !fits(garbage, at));
    return this.#waiting.slice(0, end === -1 ? undefined : end);
  }

  /** No power loss may bring a name back whose content is half deleted. */
  async #settle(): Promise<void> {
    const { paths } = this.#options;
    const from = [paths.layers, paths.fixups, paths.blobs('sha256'), paths.blobs('sha512'), paths.temporary];
    await Promise.all(from.map((directory) => syncDirectory(directory)));
  }

  async #delete(batch: readonly Garbage[], signal: AbortSignal, isUrgent: boolean): Promise<void> {
    const { helper, program } = this.#options;
    const paths = batch.map(({ path }) => path);
    const argv = [program, 'tree-remove', ...(isUrgent ? [] : ['--idle']), ...paths];
    await runHelper(helper, { argv, signal, name: 'delete garbage' }, 'delete garbage');
  }

  #setAside(batch: readonly Garbage[], error: unknown): void {
    const paths = batch.map(({ path }) => path);
    this.#options.log.warn({ paths, error: messageOf(error) }, 'garbage could not be deleted; it is tried again later');
    this.#waiting = this.#waiting.filter((garbage) => !batch.includes(garbage));
    this.#failed.push(...batch);
  }

  /** What is left stays for the next start. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#attempt.abort();
    this.#wake.abort();
    await this.#run;
  }
}
