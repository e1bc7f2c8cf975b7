import { closeSync, openSync, readSync } from 'node:fs';
import { errnoOf } from '../../base/errors.ts';
import { missing } from './kernel-file.ts';

/** What was read last, by whomever: valid until the next read. */
export const text: Buffer = Buffer.allocUnsafe(1 << 16);

/** How many descriptors may be kept. */
export interface Room {
  left: number;
}

/**
 * Small files of the kernel that are read again and again: each is opened once, which costs several times what reading
 * it does. Without room it is opened for each reading.
 */
export class KeptFiles implements Disposable {
  readonly #paths: readonly string[];
  readonly #room: Room;
  readonly #files: (number | undefined)[];

  constructor(paths: readonly string[], room: Room) {
    this.#paths = paths;
    this.#room = room;
    this.#files = paths.map(() => undefined);
  }

  /** So many bytes of `text` are what the file at this place has now; -1 when it is not there. */
  read(place: number): number {
    const kept = this.#files[place];
    const length = kept === undefined ? -1 : readFrom(kept);
    if (length >= 0) return length;
    // What had this name may have gone, and another may be there.
    this.#close(place);
    return this.#open(place);
  }

  #open(place: number): number {
    const path = this.#paths[place] ?? '';
    const file = path === '' ? undefined : unlessMissing(() => openSync(path, 'r'), undefined);
    if (file === undefined) return -1;
    const length = readFrom(file);
    if (length >= 0 && this.#room.left > 0) {
      this.#files[place] = file;
      this.#room.left -= 1;
    } else closeSync(file);
    return length;
  }

  #close(place: number): void {
    const file = this.#files[place];
    if (file === undefined) return;
    this.#files[place] = undefined;
    this.#room.left += 1;
    closeSync(file);
  }

  /** Closes all from this place on; a later reading opens them again. */
  closeFrom(place: number): void {
    for (let at = place; at < this.#files.length; at += 1) this.#close(at);
  }

  [Symbol.dispose](): void {
    this.closeFrom(0);
  }
}

/** A file that is read seldom: so many bytes of `text`; -1 when it is not there. */
export const readOnce = (path: string): number => {
  using file = new KeptFiles([path], { left: 0 });
  return file.read(0);
};

/** The kernel gives a file of one record whole; only what is about as long as a page may have more. */
const leastOfMore = 2048;

const readFrom = (file: number): number =>
  unlessMissing(() => {
    let length = 0;
    for (;;) {
      const count = readSync(file, text, length, text.length - length, length);
      length += count;
      if (count < leastOfMore || length === text.length) return length;
    }
  }, -1);

const unlessMissing = <T>(read: () => T, otherwise: T): T => {
  try {
    return read();
  } catch (error) {
    if (missing.includes(errnoOf(error) ?? '')) return otherwise;
    throw error;
  }
};
