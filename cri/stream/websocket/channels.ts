import { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';

type Done = (error?: Error | null) => void;

export interface ChannelsOptions {
  /** How many; messages for others are dropped. */
  readonly count: number;
  /** Messages are text: a character for the channel and base64. */
  readonly base64: boolean;
  /** Protocol 5: a message of 255 and a channel closes that channel. */
  readonly closes: boolean;
  /** Data came or went. */
  active(): void;
  /** Once, when the connection is over. */
  closed(): void;
}

/** What a client may send before anybody reads it; and what of ours may wait for the socket. */
const bufferBytes = 64 << 10;
const waitingBytes = 256 << 10;
/** Reading is stopped while a channel's buffer is full, so a lost client is only found by writing to it. */
const heartbeatMs = 1000;
const closeSignal = 255;
const unacceptable = 1003;
/** Of channel 0; the tenth is ":", and so on. */
const digit = 48;

/** Channels of `channel.k8s.io` on a WebSocket: the first byte of each message says which one it is for. */
export class Channels {
  readonly #socket: WebSocket;
  readonly #options: ChannelsOptions;
  readonly #channels: readonly Channel[];
  readonly #held = new Set<Channel>();
  #heartbeat: NodeJS.Timeout | undefined;

  constructor(socket: WebSocket, options: ChannelsOptions) {
    this.#socket = socket;
    this.#options = options;
    const write = (channel: number, bytes: Buffer, done: Done): void => this.#write(channel, bytes, done);
    const resume = (channel: Channel): void => this.#resume(channel);
    this.#channels = Array.from({ length: options.count }, (_, number) => new Channel(number, write, resume));
    socket.on('message', (data: RawData) => this.#receive(bytesOf(data)));
    socket.on('close', () => this.#close());
  }

  /** Undefined: beyond `count`. */
  get(channel: number): Channel | undefined {
    return this.#channels[channel];
  }

  /** Says that it is over, after all that was written. */
  close(): void {
    this.#socket.resume();
    this.#socket.close(1000);
  }

  /** At once. */
  destroy(): void {
    this.#socket.terminate();
  }

  #receive(message: Buffer): void {
    if (message.length === 0 || this.#socket.readyState !== this.#socket.OPEN) return;
    this.#options.active();
    const number = message.readUInt8(0);
    if (this.#options.closes && number === closeSignal) this.#end(message);
    else this.#deliver(this.#options.base64 ? number - digit : number, message.subarray(1));
  }

  #end(message: Buffer): void {
    const channel = message.length === 2 ? this.#channels[message.readUInt8(1)] : undefined;
    if (channel === undefined) this.#socket.close(unacceptable, 'a close signal has one byte, its channel');
    else channel.receiveEnd();
  }

  #deliver(number: number, payload: Buffer): void {
    const bytes = this.#options.base64 ? decode(payload) : payload;
    if (bytes === undefined) this.#socket.close(unacceptable, `channel ${number}: not base64`);
    else this.#channels[number]?.receive(bytes, (channel) => this.#hold(channel));
  }

  #hold(channel: Channel): void {
    this.#held.add(channel);
    this.#socket.pause();
    this.#heartbeat ??= setInterval(() => this.#socket.ping(), heartbeatMs);
  }

  #resume(channel: Channel): void {
    if (!this.#held.delete(channel) || this.#held.size > 0) return;
    clearInterval(this.#heartbeat);
    this.#heartbeat = undefined;
    this.#socket.resume();
  }

  #write(channel: number, bytes: Buffer, done: Done): void {
    this.#options.active();
    const message = this.#options.base64
      ? `${String.fromCharCode(digit + channel)}${bytes.toString('base64')}`
      : Buffer.concat([Buffer.of(channel), bytes], bytes.length + 1);
    const full = this.#socket.bufferedAmount > waitingBytes;
    this.#socket.send(message, full ? done : () => undefined);
    if (!full) done();
  }

  #close(): void {
    clearInterval(this.#heartbeat);
    for (const channel of this.#channels) channel.destroy();
    this.#options.closed();
  }
}

/** One channel. There is no word for the end of our direction: `end` only says that all was written. */
export class Channel extends Duplex {
  readonly number: number;
  readonly #send: (channel: number, bytes: Buffer, done: Done) => void;
  readonly #resume: (channel: Channel) => void;
  #ended = false;

  constructor(
    number: number,
    send: (channel: number, bytes: Buffer, done: Done) => void,
    resume: (channel: Channel) => void,
  ) {
    super({ allowHalfOpen: true, readableHighWaterMark: bufferBytes, writableHighWaterMark: bufferBytes });
    this.number = number;
    this.#send = send;
    this.#resume = resume;
    // its user sees 'close'; an error that nobody listens to would end the daemon
    this.on('error', () => undefined);
  }

  /** `full`: until it is read from, nothing more. */
  receive(bytes: Buffer, full: (channel: Channel) => void): void {
    if (this.#ended || this.destroyed || bytes.length === 0) return;
    if (!this.push(bytes)) full(this);
  }

  receiveEnd(): void {
    if (!this.#ended) this.push(null);
    this.#ended = true;
  }

  override _read(): void {
    this.#resume(this);
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#send(this.number, bytes, done);
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#resume(this);
    done(error);
  }
}

const bytesOf = (data: RawData): Buffer =>
  Array.isArray(data) ? Buffer.concat(data) : Buffer.isBuffer(data) ? data : Buffer.from(data);

const decode = (text: Buffer): Buffer | undefined => {
  const valid = text.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(text.toString('latin1'));
  return valid ? Buffer.from(text.toString('latin1'), 'base64') : undefined;
};
