/** One queue a key: actions with the same key run one after the other, others side by side. */
export class KeyedLocks {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `action` when all earlier ones of this key have ended, however they ended. */
  run<T>(key: string, action: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(key) ?? Promise.resolve();
    const turn = before.then(action, action);
    const settled = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#tails.set(key, settled);
    void settled.then(() => {
      if (this.#tails.get(key) === settled) this.#tails.delete(key);
    });
    return turn;
  }

  get size(): number {
    return this.#tails.size;
  }
}

/** One flight a key: whoever asks while it runs gets its result. */
export class Flights<T> {
  readonly #running = new Map<string, Promise<T>>();

  join(key: string, action: () => Promise<T>): Promise<T> {
    const running = this.#running.get(key);
    if (running !== undefined) return running;
    const flight = action().finally(() => this.#running.delete(key));
    this.#running.set(key, flight);
    return flight;
  }

  has(key: string): boolean {
    return this.#running.has(key);
  }
}
