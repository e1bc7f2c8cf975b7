import { closeSync, constants, openSync, readlinkSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { BerthError, errnoOf, messageOf } from '../base/errors.ts';
import { encodeFields, encodeFrame, type Field, FieldReader, type FrameIn, FrameParser, frameHead } from './frames.ts';
import { Frame, oldestProtocol, protocolVersion } from './protocol.ts';

const connectMs = 10_000;
/** A shorter payload is copied behind its head, a longer one is written from where it is. */
const copiedBytes = 4096;
/** sun_path holds 108 bytes with its last zero. */
const longestPath = 107;

/** Gets every frame after the greeting, then once `lost`. */
export interface FrameListener {
  frame(frame: FrameIn): void;
  lost(error: BerthError): void;
}

/** One connection to a bundle's shim.sock, past the greeting. Errors: `unavailable` when nobody answers there. */
export class ShimSocket {
  readonly #socket: Socket;
  readonly #bundle: string;
  readonly #parser = new FrameParser([Frame.STDOUT, Frame.STDERR]);
  readonly #greeting = Promise.withResolvers<void>();
  #listener: FrameListener | undefined;
  #error: BerthError | undefined;
  #greeted = false;

  private constructor(bundle: string, socket: Socket) {
    this.#bundle = bundle;
    this.#socket = socket;
    this.#greeting.promise.catch(() => undefined);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', (error) => this.#lose(`${errnoOf(error) ?? messageOf(error)}`));
    socket.on('close', () => this.#lose('the connection was closed'));
    socket.setTimeout(connectMs, () => this.#lose('no answer in 10 s'));
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
    const path = join(bundle, 'shim.sock');
    if (Buffer.byteLength(path) <= longestPath) return new ShimSocket(bundle, connect(path));
    try {
      return ShimSocket.#throughDirectory(bundle);
    } catch (error) {
      throw unavailable(bundle, messageOf(error));
    }
  }

  /** A longer path does not fit into a socket address: it is reached through a descriptor of its directory. */
  static #throughDirectory(bundle: string): ShimSocket {
    const directory = openSync(bundle, constants.O_RDONLY | constants.O_DIRECTORY);
    try {
      const short = `/proc/self/fd/${directory}`;
      if (readlinkSync(short) !== bundle) throw unavailable(bundle, 'the bundle was replaced');
      // node:net connects a path before it returns
      return new ShimSocket(bundle, connect(`${short}/shim.sock`));
    } finally {
      closeSync(directory);
    }
  }

  listen(listener: FrameListener): void {
    this.#listener = listener;
    if (this.#error !== undefined) listener.lost(this.#error);
  }

  /** False: its buffer is full, wait for `drain`. */
  send(type: number, id: number, payload: Uint8Array = new Uint8Array()): boolean {
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
    this.#socket.destroy();
    this.#greeting.reject(this.#error);
    this.#listener?.lost(this.#error);
  }
}

/** Asked again it would say the same. */
const otherVersion = (bundle: string, version: number): BerthError =>
  new BerthError(
    'failed-precondition',
    `supervisor of ${bundle}: it speaks protocol ${version}, this berthd ${oldestProtocol} to ${protocolVersion + 1}`,
  );

const unavailable = (bundle: string, cause: string): BerthError =>
  new BerthError('unavailable', `supervisor of ${bundle}: ${cause}`);
