import { BerthError, invalid, notFound } from '../../base/errors.ts';

interface Named {
  readonly id: string;
  /** What makes it one and the same object for its creator; see `sandboxKey` and `containerKey`. */
  readonly key: string;
}

/** The objects of one kind in memory, by id and by key. Lists and statuses are answered from here alone (lesson A2). */
export class Objects<T extends Named> {
  readonly #kind: string;
  readonly #byId = new Map<string, T>();
  readonly #byKey = new Map<string, T>();

  constructor(kind: string) {
    this.#kind = kind;
  }

  add(object: T): void {
    const taken = this.#byKey.get(object.key);
    if (taken !== undefined && taken.id !== object.id)
      throw new BerthError('already-exists', `${this.#kind} ${object.key} is already there with the id ${taken.id}`);
    this.#byId.set(object.id, object);
    this.#byKey.set(object.key, object);
  }

  delete(object: T): void {
    this.#byId.delete(object.id);
    if (this.#byKey.get(object.key) === object) this.#byKey.delete(object.key);
  }

  withKey(key: string): T | undefined {
    return this.#byKey.get(key);
  }

  values(): T[] {
    return [...this.#byId.values()];
  }

  get size(): number {
    return this.#byId.size;
  }

  /** By the whole id or a prefix that only one object has. Undefined when there is none. */
  find(id: string): T | undefined {
    if (id === '') throw invalid(`${this.#kind} id is empty`);
    return this.#byId.get(id) ?? this.#byPrefix(id);
  }

  /** As `find`, with an error when there is none. */
  get(id: string): T {
    const object = this.find(id);
    if (object === undefined) throw notFound(`${this.#kind} ${JSON.stringify(id.slice(0, 80))} does not exist`);
    return object;
  }

  #byPrefix(prefix: string): T | undefined {
    if (!/^[0-9a-f]{1,63}$/.test(prefix)) return undefined;
    const matches = this.values().filter((object) => object.id.startsWith(prefix));
    if (matches.length > 1)
      throw invalid(`${this.#kind} id ${prefix} is the start of ${matches.length} ids: give more of it`);
    return matches[0];
  }
}
