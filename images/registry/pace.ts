/** Bytes a second. Any network that images can be pulled over brings more. */
export const leastRate = 1024;

/**
 * Finds a transfer that brings a byte now and then, and so never stalls. Only the time that the reader waited for bytes
 * counts, in stretches of `seconds`.
 */
export class Pace {
  readonly #seconds: number;
  #bytes = 0;
  #waitedMs = 0;

  constructor(seconds: number) {
    this.#seconds = seconds;
  }

  /** To be told of each chunk and of how long it was waited for. */
  isCrawling(bytes: number, waitedMs: number): boolean {
    this.#bytes += bytes;
    this.#waitedMs += waitedMs;
    if (this.#waitedMs < this.#seconds * 1000) return false;
    const isSlow = this.#bytes < this.#seconds * leastRate;
    this.#bytes = 0;
    this.#waitedMs = 0;
    return isSlow;
  }
}
