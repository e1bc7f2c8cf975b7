import { type FSWatcher, watch } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';

export interface WatchTimes {
  /** Milliseconds of quiet after an event before one looks: editors and `kubectl cp` write in several steps. */
  readonly settleMs: number;
  /** Milliseconds between looks without an event: what is not there yet cannot be watched. */
  readonly rescanMs: number;
}

interface Watched {
  readonly inode: string;
  readonly watcher: FSWatcher;
}

/**
 * Calls `look` after changes in a directory, also when the directory is deleted and made again or appears later: its
 * parent is watched too, and a timer looks anyway (lesson A7). Looks never overlap.
 */
export class DirectoryWatch {
  readonly #paths: readonly string[];
  readonly #look: () => Promise<void>;
  readonly #times: WatchTimes;
  readonly #watched = new Map<string, Watched>();
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(directory: string, look: () => Promise<void>, times: WatchTimes) {
    this.#paths = [directory, dirname(directory)];
    this.#look = look;
    this.#times = times;
  }

  /** Looks once, then watches. */
  start(): Promise<void> {
    return this.lookNow();
  }

  /** Looks now, after a look that is under way. */
  lookNow(): Promise<void> {
    this.#running = this.#running.then(() => this.#once());
    return this.#running;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const { watcher } of this.#watched.values()) watcher.close();
    this.#watched.clear();
    await this.#running;
  }

  async #once(): Promise<void> {
    if (this.#closed) return;
    // Watch first: what changes while one looks is seen again.
    await Promise.all(this.#paths.map((path) => this.#rewatch(path)));
    await this.#look();
    if (!this.#closed) this.#lookIn(this.#times.rescanMs);
  }

  #lookIn(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.lookNow(), milliseconds);
    this.#timer.unref();
  }

  /** A directory that was made again has another inode, and the old watch sees nothing of it. */
  async #rewatch(path: string): Promise<void> {
    const info = await stat(path).catch(() => undefined);
    const inode = info?.isDirectory() === true ? `${info.dev}:${info.ino}` : '';
    const known = this.#watched.get(path);
    if (known?.inode === inode || this.#closed) return;
    this.#forget(path);
    if (inode !== '') this.#watch(path, inode);
  }

  #watch(path: string, inode: string): void {
    try {
      const watcher = watch(path, { persistent: false }, () => this.#lookIn(this.#times.settleMs));
      watcher.on('error', () => this.#forget(path));
      this.#watched.set(path, { inode, watcher });
    } catch {
      // It is gone again, or the machine has no inotify watches left: the timer still looks.
    }
  }

  #forget(path: string): void {
    this.#watched.get(path)?.watcher.close();
    this.#watched.delete(path);
  }
}
