import type { Socket } from 'node:net';
import { BerthError, errnoOf, messageOf } from '../base/errors.ts';
import { connectShim } from './connect-shim.ts';
import { encodeFields, encodeFrame, type Field, FieldReader, type FrameIn, FrameParser, frameHead } from './frames.ts';
import { Frame, oldestProtocol, protocolVersion } from './protocol.ts';

const connectMs = 10_000;
/** At most between two tries at a full queue, each time twice as long. */
const firstRetryMs = 10;
const longestRetryMs = 200;
/** A shorter payload is copied behind its head, a longer one is written from where it is. */
const copiedBytes = 4096;

/** Gets every frame after the greeting, then once `lost`. */
export interface FrameListener {
  frame(frame: FrameIn): void;
  lost(error: BerthError): void;
}

/** One connection to a bundle's shim.sock, past the greeting. Errors: `unavailable` when nobody answers there. */
export class ShimSocket {
  readonly #bundle: string;
  readonly #patience = performance.now() + connectMs;
  #socket: Socket;
  /** What was sent before anybody had taken the connection. */
  #early: Uint8Array[] | undefined = [];
  #retry: NodeJS.Timeout | undefined;
  #tries = 0;
  readonly #parser = new FrameParser([Frame.STDOUT, Frame.STDERR]);
  readonly #greeting = Promise.withResolvers<void>();
  #listener: FrameListener | undefined;
  #error: BerthError | undefined;
  #greeted = false;

  private constructor(bundle: string) {
    this.#bundle = bundle;
    this.#greeting.promise.catch(() => undefined);
    this.#socket = this.#dial();
    this.send(Frame.HELLO, 0, encodeFields([protocolVersion]));
  }

  /** Resolves when the supervisor has greeted. */
  static async open(bundle: string): Promise<ShimSocket> {
    const socket = ShimSocket.connect(bundle);
    await socket.#greeting.promise;
    return socket;
  }

  /** Does not wait for the greeting: what is sent meanwhile is read after it, and a refusal ends what listens. */
  static connect(bundle: string): ShimSocket {
    try {
      return new ShimSocket(bundle);
    } catch (error) {
      throw unavailable(bundle, messageOf(error));
    }
  }

  #dial(): Socket {
    const socket = connectShim(this.#bundle);
    socket.on('connect', () => this.#connected());
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => this.#failed(error));
    socket.on('close', () => this.#closed(socket));
    socket.setTimeout(Math.max(this.#patience - performance.now(), 1), () => this.#lose(late));
    return socket;
  }

  #connected(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const bytes of early) this.#socket.write(bytes);
  }

  /** EAGAIN: its queue is full of others who came at the same time. It is busy, and takes them one after another. */
  #failed(error: Error): void {
    const isFull = errnoOf(error) === 'EAGAIN' && this.#early !== undefined;
    if (!isFull) this.#lose(errnoOf(error) ?? messageOf(error));
    else if (performance.now() >= this.#patience) this.#lose(late);
    else this.#retry = setTimeout(() => this.#again(), this.#retryDelay());
  }

  /** One that is tried again is not lost. */
  #closed(socket: Socket): void {
    if (socket === this.#socket && this.#retry === undefined) this.#lose('the connection was closed');
  }

  /** Not all of them at the same moment. */
  #retryDelay(): number {
    this.#tries += 1;
    return Math.min(firstRetryMs * 2 ** this.#tries, longestRetryMs) * Math.random();
  }

  #again(): void {
    this.#retry = undefined;
    try {
      this.#socket = this.#dial();
    } catch (error) {
      this.#lose(messageOf(error));
    }
  }

  listen(listener: FrameListener): void {
    this.#listener = listener;
    if (this.#error !== undefined) listener.lost(this.#error);
  }

  /** False: its buffer is full, wait for `drain`. */
  send(type: number, id: number, payload: Uint8Array = new Uint8Array()): boolean {
    if (this.#early !== undefined) {
      this.#early.push(encodeFrame(type, id, payload));
      return true;
    }
    if (payload.length < copiedBytes) return this.#socket.write(encodeFrame(type, id, payload));
    this.#socket.cork();
    this.#socket.write(frameHead(type, id, payload.length));
    const room = this.#socket.write(payload);
    this.#socket.uncork();
    return room;
  }

  sendFields(type: number, id: number, ...fields: readonly Field[]): boolean {
    return this.send(type, id, encodeFields(fields));
  }

  onceDrained(drained: () => void): void {
    this.#socket.once('drain', drained);
  }

  /** No more is read, but for what has been read already; the other side waits. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  close(): void {
    clearTimeout(this.#retry);
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    try {
      for (const frame of this.#parser.push(chunk)) {
        if (this.#greeted) this.#listener?.frame(frame);
        else this.#hello(frame);
      }
    } catch (error) {
      if (error instanceof BerthError && error.code === 'failed-precondition') this.#end(error);
      else this.#lose(messageOf(error));
    }
  }

  /** A supervisor of the next release speaks our version as well: it has read it. */
  #hello({ type, payload }: FrameIn): void {
    const version = type === Frame.HELLO ? new FieldReader(payload).number() : 0;
    if (version < oldestProtocol || version > protocolVersion + 1) throw otherVersion(this.#bundle, version);
    this.#greeted = true;
    this.#socket.setTimeout(0);
    this.#greeting.resolve();
  }

  #lose(cause: string): void {
    this.#end(unavailable(this.#bundle, cause));
  }

  #end(error: BerthError): void {
    if (this.#error !== undefined) return;
    this.#error = error;
    this.close();
    this.#greeting.reject(this.#error);
    this.#listener?.lost(this.#error);
  }
}

const late = `no answer in ${connectMs / 1000} s`;

/** Asked again it would say the same. */
const otherVersion = (bundle: string, version: number): BerthError =>
  new BerthError(
    'failed-precondition',
    `supervisor of ${bundle}: it speaks protocol ${version}, this berthd ${oldestProtocol} to ${protocolVersion + 1}`,
  );

const unavailable = (bundle: string, cause: string): BerthError =>
  new BerthError('unavailable', `supervisor of ${bundle}: ${cause}`);
