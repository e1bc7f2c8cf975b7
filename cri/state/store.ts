import { join } from 'node:path';
import { messageOf, within } from '../../base/errors.ts';
import {
  isTemporary,
  LaterFormat,
  makeDirectory,
  moveInto,
  namesIn,
  readJson,
  removeTree,
  writeAtomic,
} from '../../base/files.ts';
import type { Log } from '../log.ts';
import { recordFormat } from './check.ts';

/** An object that is kept as one JSON file, named by its id. */
export interface Stored {
  /** Of the format (state/check.ts). A record may have fields that only a later berthd knows: they are kept. */
  readonly version: number;
  readonly id: string;
}

/**
 * A directory with one JSON file an object (hard lesson A8): a broken file is set aside as `<id>.json.broken` and the
 * rest is read. `check` takes what the file holds and throws when it is not a whole `T`. One that a later berthd has written
 * stays where it is, for that one to find it.
 */
export class Store<T extends Stored> {
  readonly #directory: string;
  readonly #check: (value: unknown) => T;
  readonly #log: Log;
  readonly #later = new Set<string>();

  private constructor(directory: string, check: (value: unknown) => T, log: Log) {
    this.#directory = directory;
    this.#check = check;
    this.#log = log;
  }

  static async open<T extends Stored>(directory: string, check: (value: unknown) => T, log: Log): Promise<Store<T>> {
    await makeDirectory(directory);
    return new Store(directory, check, log);
  }

  /** Every whole object, read side by side. */
  async load(): Promise<T[]> {
    const names = await namesIn(this.#directory);
    const found = await Promise.all(names.map((name) => this.#read(name)));
    return found.filter((value) => value !== undefined);
  }

  /** Ids of the objects that only a later berthd knows, after `load`. */
  get later(): ReadonlySet<string> {
    return this.#later;
  }

  /** Durable unless told otherwise: what the kernel or the bundle can tell again need not survive a power loss. */
  async save(value: T, options: { readonly durable?: boolean } = {}): Promise<void> {
    const written = { ...value, version: recordFormat, compatible: undefined };
    await writeAtomic(this.#path(value.id), `${JSON.stringify(written)}\n`, options);
  }

  async remove(id: string): Promise<void> {
    await removeTree(this.#path(id));
  }

  #path(id: string): string {
    return join(this.#directory, `${id}.json`);
  }

  async #read(name: string): Promise<T | undefined> {
    const path = join(this.#directory, name);
    if (isTemporary(name)) return void (await removeTree(path));
    if (!name.endsWith('.json')) return undefined;
    try {
      const value = this.#check(await readJson(path));
      if (`${value.id}.json` !== name) throw within(`read ${path}`, new Error(`it holds the object ${value.id}`));
      return value;
    } catch (error) {
      if (error instanceof LaterFormat) return this.#leave(path, name, error);
      this.#log.warn({ path, error: messageOf(error) }, 'state file is broken: set aside');
      await moveInto(path, `${path}.broken`);
      return undefined;
    }
  }

  #leave(path: string, name: string, error: LaterFormat): undefined {
    this.#log.error(
      { path, error: messageOf(error) },
      'state file is of a later berthd: it and its object are left alone',
    );
    this.#later.add(name.slice(0, -'.json'.length));
  }
}
