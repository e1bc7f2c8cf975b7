import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { text } from 'node:stream/consumers';
import { constants, createDeflate, type Deflate } from 'node:zlib';
import { dictionary } from '../../../cri/stream/spdy/dictionary.ts';
import {
  type ControlFrame,
  controlFrame,
  dataHead,
  Flag,
  FrameParser,
  FrameType,
} from '../../../cri/stream/spdy/frames.ts';
import { HeaderReader } from '../../../cri/stream/spdy/headers.ts';

export type Dial = (url: URL) => Socket;

/** Straight to the URL's address. */
export const direct: Dial = (url) => connect(Number(url.port), url.hostname.replace(/^\[|\]$/g, ''));

/** The answer to a request that was not upgraded. */
export class Refused extends Error {
  readonly status: number;
  readonly headers: string;

  constructor(status: number, headers: string, body: string) {
    super(`${status} ${body.trim()}`);
    this.status = status;
    this.headers = headers;
  }
}

/** Sends a request and gives back the connection when it is upgraded, with what came behind the answer put back into it. */
export const upgrade = async (
  url: URL,
  headers: Readonly<Record<string, string>>,
  dial: Dial,
  method = 'POST',
): Promise<{ readonly socket: Socket; readonly head: string }> => {
  const socket = dial(url);
  const lines = Object.entries({ Host: url.host, 'User-Agent': 'Go-http-client/1.1', ...headers }).map(
    ([name, value]) => `${name}: ${value}`,
  );
  socket.write([`${method} ${url.pathname} HTTP/1.1`, ...lines, '', ''].join('\r\n'));
  let received = Buffer.alloc(0);
  for (let end = -1; end < 0; end = received.indexOf('\r\n\r\n')) {
    const [chunk] = await Promise.race([
      once(socket, 'data'),
      once(socket, 'close').then(() => {
        throw new Error(`closed after ${received.toString('latin1')}`);
      }),
    ]);
    received = Buffer.concat([received, chunk as Buffer]);
    socket.pause();
    if (received.includes('\r\n\r\n')) break;
    socket.resume();
  }
  const end = received.indexOf('\r\n\r\n') + 4;
  const head = received.subarray(0, end).toString('latin1');
  const rest = received.subarray(end);
  const status = Number(head.split(' ')[1]);
  if (rest.length > 0) socket.unshift(rest);
  if (status !== 101) throw new Refused(status, head, await text(socket.resume()));
  return { socket, head };
};

/** A stream as spdystream has it: data frames of at most 32 KiB, no window. */
export class ClientStream extends Duplex {
  readonly id: number;
  readonly replied = Promise.withResolvers<void>();
  readonly #client: SpdyClient;
  reset = false;
  /** The server has closed its direction; what it said may still be read. */
  ended = false;

  constructor(id: number, client: SpdyClient) {
    super({ allowHalfOpen: true });
    this.id = id;
    this.#client = client;
    this.on('error', () => undefined);
    this.replied.promise.catch(() => undefined);
  }

  override _read(): void {
    this.#client.resume();
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#client.sendData(this.id, bytes, false, done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#client.sendData(this.id, Buffer.alloc(0), true, done);
  }

  /** RST_STREAM, both ways at once. */
  sendReset(): void {
    this.#client.send(controlFrame(FrameType.RST_STREAM, [this.id, 5]));
    this.destroy();
  }
}

/**
 * A client as kubelet and kubectl are: headers without `:method` and `:path`, one deflate context with a sync flush after
 * each block, no WINDOW_UPDATE and no look at ours.
 */
export class SpdyClient {
  readonly socket: Duplex;
  readonly protocol: string;
  readonly frames: ControlFrame[] = [];
  readonly streams = new Map<number, ClientStream>();
  readonly closed: Promise<void>;
  readonly #deflate: Deflate;
  readonly #reader = new HeaderReader();
  #blocks: Promise<unknown> = Promise.resolve();
  #nextStream = 1;

  constructor(socket: Duplex, protocol: string) {
    this.socket = socket;
    this.protocol = protocol;
    this.#deflate = createDeflate({ dictionary, level: constants.Z_BEST_COMPRESSION });
    const parser = new FrameParser({
      control: (frame) => this.#control(frame),
      data: (id, bytes, fin) => this.#data(id, bytes, fin),
    });
    socket.on('data', (chunk: Buffer) => parser.push(chunk));
    socket.on('error', () => undefined);
    socket.on('end', () => socket.end());
    socket.resume();
    this.closed = once(socket, 'close').then(() => {
      this.#deflate.close();
      for (const stream of this.streams.values()) if (!stream.ended) stream.destroy();
    });
  }

  static async open(url: string, protocols: readonly string[], dial: Dial = direct): Promise<SpdyClient> {
    const headers = {
      Connection: 'Upgrade',
      Upgrade: 'SPDY/3.1',
      'Content-Length': '0',
      'X-Stream-Protocol-Version': protocols.join(', '),
    };
    const { socket, head } = await upgrade(new URL(url), headers, dial);
    return new SpdyClient(socket, /x-stream-protocol-version: (\S+)/i.exec(head)?.[1] ?? '');
  }

  /** Opens a stream and waits for its reply. Rejects when it is reset. */
  async stream(headers: Readonly<Record<string, string>>, flags = 0): Promise<ClientStream> {
    const stream = new ClientStream(this.#nextStream, this);
    this.#nextStream += 2;
    this.streams.set(stream.id, stream);
    await this.open(stream.id, headers, flags);
    await Promise.race([
      stream.replied.promise,
      this.closed.then(() => {
        throw new Error('the connection was closed');
      }),
    ]);
    return stream;
  }

  /** SYN_STREAM alone. */
  async open(id: number, headers: Readonly<Record<string, string>>, flags = 0): Promise<void> {
    const block = await this.block(headers);
    this.send(controlFrame(FrameType.SYN_STREAM, [id, 0], Buffer.concat([Buffer.alloc(2), block]), flags));
  }

  /** The next block of the one stream that all headers are. */
  block(headers: Readonly<Record<string, string>>): Promise<Buffer> {
    const fields = Object.entries(headers).flatMap(([name, value]) => [name.toLowerCase(), value]);
    const plain = Buffer.concat([
      number(Object.keys(headers).length),
      ...fields.flatMap((field) => [number(field.length), Buffer.from(field, 'latin1')]),
    ]);
    const block = this.#blocks.then(() => this.#compress(plain));
    this.#blocks = block;
    return block;
  }

  async #compress(plain: Buffer): Promise<Buffer> {
    this.#deflate.write(plain);
    await new Promise<void>((resolve) => this.#deflate.flush(constants.Z_SYNC_FLUSH, resolve));
    return (this.#deflate.read() as Buffer | null) ?? Buffer.alloc(0);
  }

  send(frame: Buffer): void {
    if (!this.socket.destroyed) this.socket.write(frame);
  }

  sendData(id: number, bytes: Buffer, fin: boolean, done: (error?: Error | null) => void): void {
    this.send(dataHead(id, bytes.length, fin ? Flag.FIN : 0));
    if (bytes.length === 0 || this.socket.destroyed) done();
    else this.socket.write(bytes, done);
  }

  resume(): void {
    this.socket.resume();
  }

  /** RST_STREAM for all, GOAWAY and the end, as Go's Close does. */
  close(): void {
    for (const stream of this.streams.values()) if (!stream.destroyed) stream.sendReset();
    this.send(controlFrame(FrameType.GOAWAY, [0, 0]));
    this.socket.end();
  }

  #control(frame: ControlFrame): void {
    this.frames.push(frame);
    const word = frame.payload.length >= 4 ? frame.payload.readUInt32BE() : 0;
    const stream = this.streams.get(word);
    if (frame.type === FrameType.SYN_REPLY) {
      this.#reader.read(frame.payload.subarray(4));
      stream?.replied.resolve();
    } else if (frame.type === FrameType.RST_STREAM && stream !== undefined) {
      stream.reset = true;
      stream.replied.reject(new Error(`stream ${word} was reset`));
      if (!stream.readableEnded) stream.push(null);
      stream.destroy();
    } else if (frame.type === FrameType.PING && word % 2 === 0) this.send(controlFrame(FrameType.PING, [word]));
  }

  #data(id: number, bytes: Buffer, fin: boolean): void {
    const stream = this.streams.get(id);
    if (stream === undefined || stream.destroyed) return;
    if (bytes.length > 0 && !stream.push(Buffer.from(bytes))) this.socket.pause();
    if (!fin) return;
    stream.ended = true;
    stream.push(null);
  }
}

const number = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
