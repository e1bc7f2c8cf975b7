import { connect, type Socket } from 'node:net';

/** Numbers of `channel.k8s.io`, also used for SPDY's streams. */
export const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3 } as const;

/** A session with as little client as there can be: both sides of a comparison are measured with it. */
export interface Wire {
  readonly socket: Socket;
  /** False: wait for `drain`. */
  send(number: number, bytes: Buffer): boolean;
}

/** Gets the bytes of a channel, in pieces as they came. */
export type OnData = (number: number, bytes: Buffer) => void;

/** Sends a request and resolves with the connection and what came behind the answer's head. */
export const upgrade = async (
  url: URL,
  method: string,
  headers: Readonly<Record<string, string>>,
): Promise<{ readonly socket: Socket; readonly rest: Buffer }> => {
  const socket = connect(Number(url.port), url.hostname).setNoDelay(true);
  const lines = Object.entries({ Host: url.host, ...headers }).map(([name, value]) => `${name}: ${value}`);
  socket.write([`${method} ${url.pathname} HTTP/1.1`, ...lines, '', ''].join('\r\n'));
  let received = Buffer.alloc(0);
  const answer = Promise.withResolvers<number>();
  const receive = (bytes: Buffer): void => {
    received = Buffer.concat([received, bytes]);
    const end = received.indexOf('\r\n\r\n');
    if (end >= 0) answer.resolve(end + 4);
  };
  socket.on('data', receive);
  socket.on('error', (error) => answer.reject(error));
  socket.on('close', () => answer.reject(new Error(`closed after ${received.toString('latin1')}`)));
  const end = await answer.promise;
  socket.off('data', receive).pause();
  const head = received.subarray(0, end).toString('latin1');
  if (!head.startsWith('HTTP/1.1 101 ')) throw new Error(`not upgraded: ${received.toString('latin1')}`);
  return { socket, rest: received.subarray(end) };
};

/** Cuts a stream into heads and payloads, and copies no payload. `open` gives the size of the payload behind a head. */
export class Cutter {
  readonly #headBytes: (head: Buffer) => number;
  readonly #open: (head: Buffer) => number;
  readonly #payload: (bytes: Buffer, last: boolean) => void;
  #head = Buffer.alloc(0);
  #left = 0;

  constructor(
    headBytes: (head: Buffer) => number,
    open: (head: Buffer) => number,
    payload: (bytes: Buffer, last: boolean) => void,
  ) {
    this.#headBytes = headBytes;
    this.#open = open;
    this.#payload = payload;
  }

  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; )
      at += this.#left > 0 ? this.#take(chunk.subarray(at)) : this.#takeHead(chunk.subarray(at));
  }

  #takeHead(bytes: Buffer): number {
    const before = this.#head.length;
    for (;;) {
      const missing = this.#headBytes(this.#head) - this.#head.length;
      if (missing === 0) break;
      const from = this.#head.length - before;
      if (from === bytes.length) return from;
      this.#head = Buffer.concat([this.#head, bytes.subarray(from, from + missing)]);
    }
    const taken = this.#head.length - before;
    this.#left = this.#open(this.#head);
    this.#head = Buffer.alloc(0);
    if (this.#left === 0) this.#payload(bytes.subarray(0, 0), true);
    return taken;
  }

  #take(bytes: Buffer): number {
    const part = bytes.subarray(0, this.#left);
    this.#left -= part.length;
    this.#payload(part, this.#left === 0);
    return part.length;
  }
}
