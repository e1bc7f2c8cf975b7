import { cancelled } from './flights.ts';

/** At most `size` actions at once; the others wait in line. */
export class Limit {
  #size: number;
  /** Below zero while more run than a smaller size allows. */
  #free: number;
  readonly #line = new Set<() => void>();

  constructor(size: number) {
    this.#size = Math.max(1, size);
    this.#free = this.#size;
  }

  /** What runs goes on; a larger size lets in who waits. */
  resize(size: number): void {
    const next = Math.max(1, size);
    this.#free += next - this.#size;
    this.#size = next;
    this.#admit();
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
    this.#free += 1;
    this.#admit();
  }

  #admit(): void {
    for (const next of this.#line) {
      if (this.#free <= 0) return;
      this.#free -= 1;
      this.#line.delete(next);
      next();
    }
  }
}
