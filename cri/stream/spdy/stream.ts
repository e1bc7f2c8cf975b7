import { Duplex } from 'node:stream';
import type { Headers } from './headers.ts';

/** What a stream needs of its connection. */
export interface StreamPort {
  write(stream: number, bytes: Buffer, fin: boolean, done: (error?: Error | null) => void): void;
  /** It takes no more bytes until `resume`. */
  hold(stream: SpdyStream): void;
  resume(stream: SpdyStream): void;
  /** It is over; `reset`: the client has to be told. */
  forget(stream: SpdyStream, reset: boolean): void;
}

/** What a client may send before anybody reads it. */
const bufferBytes = 64 << 10;

/** One stream that the client opened. `end` closes our direction, `destroy` resets it unless both have ended. */
export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: Headers;
  readonly #port: StreamPort;
  /** The client has reset it, or is gone: there is nobody to tell. */
  #lost = false;
  #ended = false;
  /** Bytes that came since the client was last allowed more. */
  credit = 0;

  constructor(id: number, headers: Headers, port: StreamPort) {
    super({ allowHalfOpen: true, readableHighWaterMark: bufferBytes, writableHighWaterMark: bufferBytes });
    this.id = id;
    this.headers = headers;
    this.#port = port;
    // its user sees 'close'; an error that nobody listens to would end the daemon
    this.on('error', () => undefined);
  }

  receive(bytes: Buffer, fin: boolean): void {
    if (this.#ended || this.destroyed) return;
    this.credit += bytes.length;
    if (bytes.length > 0 && !this.push(bytes)) this.#port.hold(this);
    this.#ended = fin;
    if (fin) this.push(null);
  }

  lose(error?: Error): void {
    this.#lost = true;
    this.destroy(error);
  }

  override _read(): void {
    this.#port.resume(this);
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#port.write(this.id, bytes, false, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#port.write(this.id, Buffer.alloc(0), true, done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#port.forget(this, !this.#lost && !(this.#ended && this.writableFinished));
    done(error);
  }
}
