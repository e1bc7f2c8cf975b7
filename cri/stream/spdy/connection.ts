import type { Duplex } from 'node:stream';
import { BerthError, messageOf } from '../../../base/errors.ts';
import { linger } from '../linger.ts';
import { type ControlFrame, Flag, FrameParser, FrameType, GoAwayStatus, ResetStatus, spdyVersion } from './frames.ts';
import { HeaderReader, type Headers, HeaderWriter } from './headers.ts';
import { Output } from './output.ts';
import { SpdyStream } from './stream.ts';

export interface SpdyListener {
  /** The client opened a stream. What it throws refuses the stream. */
  stream(stream: SpdyStream): void;
  /** Data came or went. */
  active(): void;
  /** Once, when the connection is over in whatever way; undefined: as it should. */
  closed(cause: BerthError | undefined): void;
}

/** Streams of one connection at the same time; a port-forward has two for each connection. */
const streamLimit = 4096;
/** So much of a stream is taken before the client is told that it may send more; its window is 64 KiB. */
const creditStep = 32 << 10;
/** Reading is stopped while a stream's buffer is full, so a lost client is only found by writing to it. */
const heartbeatMs = 1000;

/** The server's side of SPDY/3.1 on a connection. Enforces no window, as Go's clients keep none, and counts on the socket. */
export class SpdyConnection {
  readonly #socket: Duplex;
  readonly #listener: SpdyListener;
  readonly #parser: FrameParser;
  readonly #reader = new HeaderReader();
  readonly #writer = new HeaderWriter();
  readonly #output: Output;
  readonly #streams = new Map<number, SpdyStream>();
  readonly #held = new Set<SpdyStream>();
  #heartbeat: NodeJS.Timeout | undefined;
  #lastStream = 0;
  #lastPing = 0;
  #credit = 0;
  #goneAway = false;
  #over = false;

  constructor(socket: Duplex, listener: SpdyListener) {
    this.#socket = socket;
    this.#listener = listener;
    this.#output = new Output(socket, () => this.#lose('the client sends but does not read'));
    this.#parser = new FrameParser({
      control: (frame) => this.#control(frame),
      data: (stream, bytes, fin) => this.#data(stream, bytes, fin),
    });
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => this.#lose(messageOf(error)));
    socket.on('end', () => this.#lose('the client closed the connection'));
    socket.on('close', () => this.#lose('the connection was closed'));
    socket.resume();
  }

  /** Says that it is over, and lets what was written arrive. Streams that are open are lost. */
  close(): void {
    if (this.#over) return;
    this.#output.control(FrameType.GOAWAY, [this.#lastStream, GoAwayStatus.OK]);
    this.#end(undefined);
  }

  /** At once. */
  destroy(cause: string): void {
    this.#lose(cause);
  }

  #receive(chunk: Buffer): void {
    if (this.#over) return;
    this.#socket.cork(); // what is said to one piece goes out together
    try {
      this.#parser.push(chunk);
    } catch (error) {
      this.#output.control(FrameType.GOAWAY, [this.#lastStream, GoAwayStatus.PROTOCOL_ERROR]);
      this.#end(new BerthError('invalid-argument', messageOf(error)));
    } finally {
      this.#socket.uncork();
    }
  }

  #control({ version, type, flags, payload }: ControlFrame): void {
    if (this.#over) return;
    const word = payload.length >= 4 ? payload.readUInt32BE() & 0x7fffffff : 0;
    if (version !== spdyVersion) this.#refuseVersion(version, type, word);
    const rest = (at: number): Buffer => payload.subarray(at);
    if (type === FrameType.SYN_STREAM) this.#open(word, flags, rest(10));
    else if (type === FrameType.SYN_REPLY || type === FrameType.HEADERS) this.#headers(word, flags, rest(4));
    else if (type === FrameType.RST_STREAM) this.#streams.get(word)?.lose();
    else if (type === FrameType.PING) this.#pong(payload);
    else if (type === FrameType.GOAWAY) this.#goAway();
    // SETTINGS and WINDOW_UPDATE change nothing here, and what is not known has to be ignored
  }

  #refuseVersion(version: number, type: number, stream: number): never {
    if (type === FrameType.SYN_STREAM) this.#output.reset(stream, ResetStatus.UNSUPPORTED_VERSION);
    throw new BerthError('invalid-argument', `SPDY: a frame of version ${version}`);
  }

  #open(id: number, flags: number, block: Buffer): void {
    // also of a stream that is refused: the next block builds on it
    const headers = this.#reader.read(block);
    const status = this.#refusal(id, flags);
    this.#lastStream = Math.max(this.#lastStream, id);
    if (status !== undefined) this.#output.reset(id, status);
    else this.#accept(this.#make(id, headers), (flags & Flag.FIN) !== 0);
  }

  #refusal(id: number, flags: number): number | undefined {
    if (id % 2 === 0 || id <= this.#lastStream) return ResetStatus.PROTOCOL_ERROR;
    const full = this.#goneAway || this.#streams.size >= streamLimit;
    return full || (flags & Flag.UNIDIRECTIONAL) !== 0 ? ResetStatus.REFUSED_STREAM : undefined;
  }

  #make(id: number, headers: Headers): SpdyStream {
    const stream = new SpdyStream(id, headers, {
      write: (...data) => this.#write(...data),
      hold: (held) => this.#hold(held),
      resume: (held) => this.#resume(held),
      forget: (gone, reset) => this.#forget(gone, reset),
    });
    this.#streams.set(id, stream);
    return stream;
  }

  #accept(stream: SpdyStream, fin: boolean): void {
    try {
      this.#listener.stream(stream);
    } catch {
      stream.lose();
      this.#output.reset(stream.id, ResetStatus.REFUSED_STREAM);
      return;
    }
    this.#output.control(FrameType.SYN_REPLY, [stream.id], this.#writer.write(new Map()));
    if (fin) stream.receive(Buffer.alloc(0), true);
  }

  /** Nothing of ours waits for headers; they are read since the next block builds on them. */
  #headers(id: number, flags: number, block: Buffer): void {
    this.#reader.read(block);
    if ((flags & Flag.FIN) !== 0) this.#streams.get(id)?.receive(Buffer.alloc(0), true);
  }

  /** The client's have odd numbers; an even one answers ours. */
  #pong(payload: Buffer): void {
    const id = payload.length >= 4 ? payload.readUInt32BE() : 0;
    if (id % 2 === 1) this.#output.control(FrameType.PING, [id]);
  }

  #goAway(): void {
    this.#goneAway = true;
    if (this.#streams.size === 0) this.close();
  }

  #data(id: number, bytes: Buffer, fin: boolean): void {
    if (this.#over) return;
    this.#listener.active();
    this.#credit = this.#give(0, this.#credit + bytes.length);
    const stream = this.#streams.get(id);
    if (stream === undefined) return;
    stream.receive(bytes, fin);
    if (!this.#held.has(stream)) stream.credit = this.#give(id, stream.credit);
  }

  /** Lets the client send as much again; answers what is still owed. */
  #give(id: number, credit: number): number {
    if (credit < creditStep) return credit;
    this.#output.control(FrameType.WINDOW_UPDATE, [id, credit]);
    return 0;
  }

  #hold(stream: SpdyStream): void {
    this.#held.add(stream);
    this.#socket.pause();
    this.#heartbeat ??= setInterval(() => this.#ping(), heartbeatMs);
  }

  #resume(stream: SpdyStream): void {
    if (!this.#held.delete(stream)) return;
    stream.credit = this.#give(stream.id, stream.credit);
    this.#readOn();
  }

  #readOn(): void {
    if (this.#held.size > 0) return;
    clearInterval(this.#heartbeat);
    this.#heartbeat = undefined;
    this.#socket.resume();
  }

  #ping(): void {
    this.#lastPing = (this.#lastPing + 2) % 0x7fffffff;
    this.#output.control(FrameType.PING, [this.#lastPing]);
  }

  #write(...data: Parameters<Output['data']>): void {
    this.#listener.active();
    this.#output.data(...data);
  }

  #forget(stream: SpdyStream, reset: boolean): void {
    this.#streams.delete(stream.id);
    if (reset) this.#output.reset(stream.id, ResetStatus.CANCEL);
    this.#resume(stream);
    if (this.#goneAway && this.#streams.size === 0) this.close();
  }

  #lose(cause: string): void {
    this.#end(new BerthError('cancelled', `SPDY: ${cause}`));
    this.#socket.destroy();
  }

  #end(cause: BerthError | undefined): void {
    if (this.#over) return;
    this.#output.end();
    this.#over = true;
    clearInterval(this.#heartbeat);
    for (const stream of [...this.#streams.values()]) stream.lose(cause);
    linger(this.#socket);
    this.#listener.closed(cause);
  }
}
