import { BerthError } from '../../base/errors.ts';

/** A stream of bytes that is read in portions of a given size. */
export class ByteReader {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #what: string;
  #held: Buffer = Buffer.alloc(0);

  /** `what` begins the error for a stream that is cut. */
  constructor(chunks: AsyncIterable<Buffer>, what: string) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#what = what;
  }

  /** So many bytes (a few: they are joined), or undefined at the end. Throws data-loss when it ends between. */
  async exactly(length: number): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    let missing = length;
    while (missing > 0) {
      const part = await this.#next(missing);
      if (part === undefined && missing === length) return undefined;
      if (part === undefined) throw this.#cut();
      parts.push(part);
      missing -= part.length;
    }
    const [only] = parts;
    return parts.length === 1 && only !== undefined ? only : Buffer.concat(parts);
  }

  /** So many bytes, as they come. Throws data-loss when it ends before. */
  async *portion(length: number): AsyncGenerator<Buffer> {
    for (let missing = length; missing > 0; ) {
      const part = await this.#next(missing);
      if (part === undefined) throw this.#cut();
      missing -= part.length;
      yield part;
    }
  }

  /** All that is left. */
  async *rest(): AsyncGenerator<Buffer> {
    for (let part = await this.#next(Infinity); part !== undefined; part = await this.#next(Infinity)) yield part;
  }

  #cut(): BerthError {
    return new BerthError('data-loss', `${this.#what} is cut: it ends in the middle of an entry`);
  }

  async #next(most: number): Promise<Buffer | undefined> {
    while (this.#held.length === 0) {
      const { done, value } = await this.#chunks.next();
      if (done === true) return undefined;
      this.#held = value;
    }
    const part = this.#held.subarray(0, most);
    this.#held = this.#held.subarray(part.length);
    return part;
  }

  /** Nothing more is read; lets the stream's owner clean up. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#chunks.return?.();
  }
}
