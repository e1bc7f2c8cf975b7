import { cancelled } from './flights.ts';

/** At most `size` actions at once; the others wait in line. */
export class Limit {
  #free: number;
  readonly #line = new Set<() => void>();

  constructor(size: number) {
    this.#free = Math.max(1, size);
  }

  async run<T>(signal: AbortSignal, action: () => Promise<T>): Promise<T> {
    await this.#enter(signal);
    try {
      return await action();
    } finally {
      this.#leave();
    }
  }

  async #enter(signal: AbortSignal): Promise<void> {
    if (signal.aborted) throw cancelled(signal);
    if (this.#free > 0) {
      this.#free -= 1;
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const give = (): void => {
      signal.removeEventListener('abort', leave);
      resolve();
    };
    const leave = (): void => {
      this.#line.delete(give);
      reject(cancelled(signal));
    };
    this.#line.add(give);
    signal.addEventListener('abort', leave, { once: true });
    await promise;
  }

  #leave(): void {
    const [next] = this.#line;
    if (next === undefined) {
      this.#free += 1;
      return;
    }
    this.#line.delete(next);
    next();
  }
}
