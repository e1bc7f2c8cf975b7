import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, orMissing } from '../../base/errors.ts';
import { LaterFormat, moveInto, namesIn, readJson, removeTree, writeAtomic } from '../../base/files.ts';
import { KeyedLocks } from '../../base/locks.ts';
import type { Log } from '../types.ts';

/** One directory of JSON files, one an object, written whole or not at all. */
export class RecordFiles<T> {
  readonly #directory: string;
  readonly #locks = new KeyedLocks();
  #later = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** How many files `load` has left as they are, since only a later berthd reads them. */
  get later(): number {
    return this.#later;
  }

  /** Every object; a file that cannot be read becomes `*.broken` with a warning (lesson A8), the rest is loaded. */
  async load(read: (value: unknown) => T, log: Log): Promise<readonly T[]> {
    const names = (await namesIn(this.#directory)).filter((name) => name.endsWith('.json'));
    const objects = await Promise.all(names.map((name) => this.#loadOne(name, read, log)));
    return objects.filter((object) => object !== undefined);
  }

  async #loadOne(name: string, read: (value: unknown) => T, log: Log): Promise<T | undefined> {
    const path = join(this.#directory, name);
    try {
      return read(await readJson(path));
    } catch (error) {
      if (error instanceof LaterFormat) {
        this.#later += 1;
        log.warn({ path, error: messageOf(error) }, 'record is of a later berthd: it and its layers are left alone');
        return undefined;
      }
      log.warn({ path, error: messageOf(error) }, 'broken record is set aside');
      await moveInto(path, `${path}.broken`);
      return undefined;
    }
  }

  /** Temporary files of a write that was cut short. */
  async clean(isTemporary: (name: string) => boolean): Promise<void> {
    const left = (await namesIn(this.#directory)).filter(isTemporary);
    await Promise.all(left.map((name) => removeTree(join(this.#directory, name))));
  }

  /** Both functions run in the file's turn, so that memory changes in the order of the writes. */
  write(
    key: string,
    text: string,
    { isThere, done }: { readonly isThere: () => boolean; readonly done: () => void },
    options: { readonly durable: boolean },
  ): Promise<void> {
    return this.#locks.run(key, async () => {
      if (isThere()) return;
      await writeAtomic(this.#path(key), text, options);
      done();
    });
  }

  /** Removes the file if `isWanted` still says so in its turn. */
  remove(key: string, isWanted: () => boolean, done: () => void): Promise<void> {
    return this.#locks.run(key, async () => {
      if (!isWanted()) return;
      await removeTree(this.#path(key));
      done();
    });
  }

  /** When the file was written, in ms since 1970; 0 when it is not there. */
  async changedAt(key: string): Promise<number> {
    return (await orMissing(stat(this.#path(key))))?.mtimeMs ?? 0;
  }

  #path(key: string): string {
    return join(this.#directory, `${key}.json`);
  }
}
