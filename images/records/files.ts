import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { invalid, messageOf, orMissing } from '../../base/errors.ts';
import { LaterFormat, moveInto, namesIn, readJson, removeTree, writeAtomic } from '../../base/files.ts';
import { KeyedLocks } from '../../base/locks.ts';
import type { Log } from '../types.ts';

/** One directory of JSON files, one an object, written whole or not at all. */
export class RecordFiles<T> {
  readonly #directory: string;
  readonly #read: (value: unknown) => T;
  readonly keyOf: (object: T) => string;
  readonly #locks = new KeyedLocks();
  #later = 0;

  /** `keyOf`: what an object's file is called. */
  constructor(directory: string, read: (value: unknown) => T, keyOf: (object: T) => string) {
    this.#directory = directory;
    this.#read = read;
    this.keyOf = keyOf;
  }

  /** How many files `load` has left as they are, since only a later berthd reads them. */
  get later(): number {
    return this.#later;
  }

  /** Every object; a file that cannot be read becomes `*.broken` with a warning (lesson A8), the rest is loaded. */
  async load(log: Log): Promise<readonly T[]> {
    const names = (await namesIn(this.#directory)).filter((name) => name.endsWith('.json'));
    const objects = await Promise.all(names.map((name) => this.#loadOne(name, log)));
    return objects.filter((object) => object !== undefined);
  }

  async #loadOne(name: string, log: Log): Promise<T | undefined> {
    const path = join(this.#directory, name);
    try {
      const object = this.#read(await readJson(path));
      if (this.#path(this.keyOf(object)) !== path) throw invalid(`record: its file belongs to another one`);
      return object;
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

  /** What is wrong with the file of an object that is known, in its turn. */
  problemOf(key: string, known: () => T | undefined): Promise<string | undefined> {
    return this.#locks.run(key, async () => {
      const object = known();
      if (object === undefined) return undefined;
      try {
        const found = await readJson(this.#path(key));
        if (found === undefined) return 'its record has gone from the disk';
        const isSame = isDeepStrictEqual(this.#read(found), this.#read({ version: 1, ...object }));
        return isSame ? undefined : 'its record on the disk says something else';
      } catch (error) {
        return `its record on the disk cannot be read: ${messageOf(error)}`;
      }
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
