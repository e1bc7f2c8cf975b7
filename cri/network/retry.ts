const longestMs = 600_000;

/** Tries each key again until its attempt answers true, with a wait that doubles up to ten minutes. */
export class RetryQueue {
  readonly #attempt: (key: string) => Promise<boolean>;
  readonly #firstMs: number;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #running = new Set<Promise<void>>();
  #closed = false;

  constructor(attempt: (key: string) => Promise<boolean>, firstMs: number) {
    this.#attempt = attempt;
    this.#firstMs = firstMs;
  }

  get size(): number {
    return this.#timers.size;
  }

  /** Nothing changes for a key that waits already. */
  add(key: string): void {
    if (!this.#timers.has(key)) this.#schedule(key, this.#firstMs);
  }

  drop(key: string): void {
    clearTimeout(this.#timers.get(key));
    this.#timers.delete(key);
  }

  /** Attempts under way are waited for. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const key of [...this.#timers.keys()]) this.drop(key);
    await Promise.all(this.#running);
  }

  #schedule(key: string, waitMs: number): void {
    if (this.#closed) return;
    const timer = setTimeout(() => this.#track(this.#try(key, timer, waitMs)), waitMs);
    timer.unref();
    this.#timers.set(key, timer);
  }

  #track(attempt: Promise<void>): void {
    this.#running.add(attempt);
    void attempt.then(() => this.#running.delete(attempt));
  }

  async #try(key: string, timer: NodeJS.Timeout, waitMs: number): Promise<void> {
    const done = await this.#attempt(key).catch(() => false);
    if (this.#timers.get(key) !== timer) return;
    this.#timers.delete(key);
    if (!done) this.#schedule(key, Math.min(waitMs * 2, longestMs));
  }
}
