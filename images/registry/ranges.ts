import { BerthError, codeOf } from '../../base/errors.ts';
import type { RangeSettings } from '../types.ts';
import { Ahead } from './ahead.ts';
import { type Open, type Piece, resumed, type Transfer } from './resume.ts';
import type { Reply } from './transport.ts';

export const defaultRanges: RangeSettings = {
  connections: 4,
  leastBytes: 32 << 20,
  pieceBytes: 8 << 20,
  windowBytes: 16 << 20,
};

/** How much may be read ahead at once, over all blobs: what is in memory of them. */
export class RangeWindow {
  readonly settings: RangeSettings;
  #free: number;
  /** Blobs that are being read, and pieces ahead of them: a connection each. */
  #connections = 0;

  constructor(settings: RangeSettings) {
    this.settings = settings;
    this.#free = settings.windowBytes;
  }

  /** Never waits: who gets nothing goes on with what it has. */
  tryTake(bytes: number): boolean {
    if (bytes > this.#free || this.#connections >= this.settings.connections) return false;
    this.#free -= bytes;
    this.#connections += 1;
    return true;
  }

  give(bytes: number): void {
    this.#free += bytes;
    this.#connections -= 1;
  }

  /**
   * Counts a blob while it is read: where several are, each has its connection, and what would be read ahead of them only
   * fills memory.
   */
  async *counted(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    this.#connections += 1;
    try {
      yield* chunks;
    } finally {
      this.#connections -= 1;
    }
  }

  get free(): number {
    return this.#free;
  }
}

/** The bytes of a blob from `begin` on, over several connections where it is large and its server gives ranges. */
export const transferred = (
  open: Open,
  begin: number,
  transfer: Transfer,
  window: RangeWindow | undefined,
): AsyncGenerator<Buffer> => {
  const { size } = transfer;
  const single = (): AsyncGenerator<Buffer> => resumed(open, { begin, end: size }, transfer);
  if (window === undefined) return single();
  const isSmall = window.settings.connections < 2 || size - begin < window.settings.leastBytes;
  return window.counted(isSmall ? single() : new Ranges(open, transfer, window).read(begin));
};

interface Taken {
  readonly piece: Piece;
  readonly ahead: Ahead;
}

/**
 * Pieces in order: one is passed on while the next ones are read ahead. When one of those fails for good (429, no range,
 * whatever), all of them are dropped and the rest comes in one stream, whose errors count.
 */
class Ranges {
  readonly #open: Open;
  readonly #transfer: Transfer;
  readonly #window: RangeWindow;
  readonly #stop = new AbortController();
  readonly #taken: Taken[] = [];
  /** The first byte that nobody has asked for. */
  #next = 0;

  constructor(open: Open, transfer: Transfer, window: RangeWindow) {
    this.#open = open;
    this.#transfer = transfer;
    this.#window = window;
  }

  async *read(begin: number): AsyncGenerator<Buffer> {
    const { size, signal } = this.#transfer;
    let offset = begin;
    this.#next = begin;
    try {
      for await (const chunk of this.#pieces()) {
        offset += chunk.length;
        yield chunk;
      }
      return;
    } catch (error) {
      if (signal.aborted || !this.#isHopeful(error, offset > begin)) throw error;
    } finally {
      await this.#drop();
    }
    yield* resumed(this.#open, { begin: offset, end: size }, this.#transfer);
  }

  /** Whether one stream may do better: a server without ranges, or one that does not like so many requests. */
  #isHopeful(error: unknown, isUnderWay: boolean): boolean {
    return isUnderWay || ['failed-precondition', 'data-loss', 'resource-exhausted'].includes(codeOf(error));
  }

  async *#pieces(): AsyncGenerator<Buffer> {
    const first = this.#piece();
    // Whether there are ranges at all, the first answer tells.
    const open: Open = async (begin, end, signal) => {
      const reply = await this.#open(begin, end, signal);
      if (reply.status === 206) this.#take();
      return reply;
    };
    yield* resumed(open, first, this.#transfer);
    this.#next = Math.max(this.#next, first.end);
    while (this.#taken.length > 0 || this.#next < this.#transfer.size) {
      const taken = this.#taken.shift();
      const piece = taken?.piece ?? this.#piece();
      this.#take();
      try {
        yield* taken?.ahead.read() ?? resumed(this.#open, piece, this.#transfer);
      } finally {
        await this.#end(taken);
      }
    }
  }

  #piece(): Piece {
    const begin = this.#next;
    this.#next = Math.min(begin + this.#window.settings.pieceBytes, this.#transfer.size);
    return { begin, end: this.#next };
  }

  #take(): void {
    const { connections, pieceBytes } = this.#window.settings;
    while (this.#taken.length < connections - 1 && this.#next < this.#transfer.size) {
      if (!this.#window.tryTake(pieceBytes)) return;
      const piece = this.#piece();
      const signal = AbortSignal.any([this.#transfer.signal, this.#stop.signal]);
      this.#taken.push({ piece, ahead: new Ahead(resumed(this.#openAhead, piece, { ...this.#transfer, signal })) });
    }
  }

  /** Is not tried again where one stream would be better. */
  readonly #openAhead: Open = async (begin, end, signal): Promise<Reply> => {
    try {
      const reply = await this.#open(begin, end, signal);
      if (reply.status === 206) return reply;
      reply.destroy();
    } catch (error) {
      if (codeOf(error) !== 'resource-exhausted') throw error;
      throw new BerthError('resource-exhausted', this.#transfer.what, { cause: error });
    }
    throw new BerthError('failed-precondition', `${this.#transfer.what}: ranges are no longer given`);
  };

  async #drop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#taken.splice(0).map((taken) => this.#end(taken)));
  }

  /** When nothing of it is left in memory or on its way; one that is not wanted to its end ends all of them. */
  async #end(taken: Taken | undefined): Promise<void> {
    if (taken === undefined) return;
    if (!taken.ahead.isOver) this.#stop.abort();
    await taken.ahead.ended;
    this.#window.give(this.#window.settings.pieceBytes);
  }
}
