import type { Duplex } from 'node:stream';
import { BerthError } from '../../../base/errors.ts';
import { controlFrame, dataHead, Flag, FrameType } from './frames.ts';

type Done = (error?: Error | null) => void;

/** Answers that wait for a client that does not read, before it is given up. */
const waitingLimit = 1 << 20;

/** What goes out on a connection: control frames at once, data as the socket takes it. */
export class Output {
  readonly #socket: Duplex;
  readonly #stuck: () => void;
  readonly #waiting: (() => void)[] = [];
  #over = false;

  /** `stuck`: the client sends and does not read. */
  constructor(socket: Duplex, stuck: () => void) {
    this.#socket = socket;
    this.#stuck = stuck;
    socket.on('drain', () => this.#flush());
  }

  /** Data of all streams waits here for the socket, one piece of each. `done` when there is room for the next one. */
  data(id: number, bytes: Buffer, fin: boolean, done: Done): void {
    const write = (): void => {
      this.#socket.cork();
      this.#socket.write(dataHead(id, bytes.length, fin ? Flag.FIN : 0));
      if (bytes.length > 0) this.#socket.write(bytes);
      this.#socket.uncork();
      done();
    };
    if (this.#over) done(new BerthError('cancelled', 'SPDY: the connection is over'));
    else if (this.#socket.writableNeedDrain || this.#waiting.length > 0) this.#waiting.push(write);
    else write();
  }

  /** Control frames do not wait, so that a PING is answered while output is stuck. */
  control(type: number, words: readonly number[], rest?: Uint8Array): void {
    if (this.#over || this.#socket.destroyed) return;
    this.#socket.write(controlFrame(type, words, rest));
    if (this.#socket.writableLength > waitingLimit) this.#stuck();
  }

  reset(stream: number, status: number): void {
    this.control(FrameType.RST_STREAM, [stream, status]);
  }

  /** What waits goes out, nothing after it. */
  end(): void {
    for (const write of this.#waiting.splice(0)) write();
    this.#over = true;
  }

  #flush(): void {
    while (this.#waiting.length > 0 && !this.#socket.writableNeedDrain) this.#waiting.shift()?.();
  }
}
