/** A stream that is read ahead into memory, as far as it goes. */
export class Ahead {
  readonly #chunks: Buffer[] = [];
  /** Never rejects. */
  readonly ended: Promise<void>;
  #isOver = false;
  #failure: unknown;
  #news = Promise.withResolvers<void>();

  constructor(source: AsyncIterable<Buffer>) {
    this.ended = this.#pump(source);
  }

  async #pump(source: AsyncIterable<Buffer>): Promise<void> {
    try {
      for await (const chunk of source) {
        this.#chunks.push(chunk);
        this.#tell();
      }
    } catch (error) {
      this.#failure = error;
    }
    this.#isOver = true;
    this.#tell();
  }

  /** Whether nothing more comes. */
  get isOver(): boolean {
    return this.#isOver;
  }

  #tell(): void {
    this.#news.resolve();
    this.#news = Promise.withResolvers();
  }

  /** What there is and what still comes; fails where the source failed. */
  async *read(): AsyncGenerator<Buffer> {
    for (;;) {
      const { promise } = this.#news;
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) yield chunk;
      else if (!this.#isOver) await promise;
      else if (this.#failure === undefined) return;
      else throw this.#failure;
    }
  }
}
