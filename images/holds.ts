/** What pulls and other calls in flight need; garbage collection leaves it alone. */
export class Holds {
  readonly #counts = new Map<string, number>();

  /** Holds the keys until the result is disposed. */
  take(...keys: readonly string[]): Disposable {
    for (const key of keys) this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    return { [Symbol.dispose]: () => this.#release(keys) };
  }

  #release(keys: readonly string[]): void {
    for (const key of keys) {
      const count = (this.#counts.get(key) ?? 1) - 1;
      if (count === 0) this.#counts.delete(key);
      else this.#counts.set(key, count);
    }
  }

  has(key: string): boolean {
    return this.#counts.has(key);
  }
}

export const holdKey = (kind: 'blob' | 'layer' | 'fixup' | 'image', digest: string): string => `${kind} ${digest}`;
