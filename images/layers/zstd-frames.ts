import { BerthError } from '../../base/errors.ts';

type State = 'magic' | 'descriptor' | 'fields' | 'block' | 'content' | 'checksum' | 'skip size' | 'skip';

const magicNumber = 0xfd2fb528;
const isSkippable = (magic: number): boolean => (magic & 0xfffffff0) >>> 0 === 0x184d2a50;
/** Bytes of a dictionary id and of a content size by their flags (RFC 8878, 3.1.1.1). */
const dictionaryBytes = [0, 1, 2, 4];
const sizeBytes = [0, 2, 4, 8];
const magicBytes = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);

/**
 * Cuts a zstd stream at its frames and drops skippable ones: Node's decompressor ignores what follows a frame in the
 * same chunk, and layers of many frames are common (zstd:chunked, pzstd).
 */
export async function* zstdFrames(chunks: AsyncIterable<Buffer>, what: string): AsyncGenerator<Buffer> {
  const splitter = new Splitter(what);
  for await (const chunk of chunks) yield* splitter.split(chunk);
  splitter.end();
}

class Splitter {
  readonly #what: string;
  #state: State = 'magic';
  /** Bytes of the state that are still to come, and its value so far, little-endian. */
  #left = 4;
  #read = 0;
  #value = 0;
  #isLast = false;
  #checksum = 0;

  constructor(what: string) {
    this.#what = what;
  }

  *split(chunk: Buffer): Generator<Buffer> {
    let begin = 0;
    for (let at = 0; at < chunk.length; ) {
      const isOutside = ['magic', 'skip size', 'skip'].includes(this.#state);
      at += this.#take(chunk, at);
      if (isOutside) begin = at;
      if (this.#left > 0) continue;
      const before = this.#state;
      this.#advance();
      if (before === 'magic' && this.#state === 'descriptor') yield magicBytes;
      if (!isOutside && this.#state === 'magic') {
        yield chunk.subarray(begin, at);
        begin = at;
      }
    }
    if (begin < chunk.length) yield chunk.subarray(begin);
  }

  /** The stream may only end between two frames. */
  end(): void {
    if (this.#state !== 'magic' || this.#read > 0) throw this.#broken('it ends in the middle of a zstd frame');
  }

  #take(chunk: Buffer, at: number): number {
    const count = Math.min(this.#left, chunk.length - at);
    const isNumber = this.#state !== 'content' && this.#state !== 'skip';
    for (let i = 0; isNumber && i < count; i += 1) this.#value += (chunk[at + i] ?? 0) * 256 ** (this.#read + i);
    this.#read += count;
    this.#left -= count;
    return count;
  }

  #advance(): void {
    while (this.#left === 0) {
      [this.#state, this.#left] = this.#next(this.#value);
      this.#read = 0;
      this.#value = 0;
    }
  }

  /** The state after this one, whose value is `value`, with its length in bytes. */
  #next(value: number): readonly [State, number] {
    switch (this.#state) {
      case 'magic':
        if (value === magicNumber) return ['descriptor', 1];
        if (isSkippable(value)) return ['skip size', 4];
        throw this.#broken('what follows a zstd frame is not one');
      case 'descriptor':
        this.#checksum = (value & 4) === 0 ? 0 : 4;
        return ['fields', fieldBytes(value)];
      case 'fields':
        return ['block', 3];
      case 'block':
        this.#isLast = (value & 1) === 1;
        // A run-length block has one byte of content whatever its size.
        return ['content', ((value >> 1) & 3) === 1 ? 1 : value >> 3];
      case 'content':
        return this.#isLast ? ['checksum', this.#checksum] : ['block', 3];
      case 'skip size':
        return ['skip', value];
      case 'checksum':
      case 'skip':
        return ['magic', 4];
    }
  }

  #broken(reason: string): BerthError {
    return new BerthError('data-loss', `${this.#what}: cannot be decompressed: ${reason}`);
  }
}

const fieldBytes = (descriptor: number): number => {
  const isSingle = (descriptor & 0x20) !== 0;
  const flag = descriptor >> 6;
  const size = flag === 0 && isSingle ? 1 : (sizeBytes[flag] ?? 0);
  return (isSingle ? 0 : 1) + (dictionaryBytes[descriptor & 3] ?? 0) + size;
};
