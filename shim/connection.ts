import { type ChildProcess, spawn } from 'node:child_process';
import type { Duplex } from 'node:stream';
import { BerthError, messageOf } from '../base/errors.ts';
import { encodeFields, encodeFrame, type Field, FieldReader, type FrameIn, FrameParser } from './frames.ts';
import { nativeError } from './native-error.ts';
import { Frame, protocolVersion } from './protocol.ts';

/** Gets the frames of one id until it answers true: then the id is done. */
export interface Receiver {
  frame(frame: FrameIn): boolean;
  /** The agent has died. */
  lost(error: BerthError): void;
}

export interface ConnectionOptions {
  readonly program: string;
  /** Soft RLIMIT_NOFILE of everything that is started. */
  readonly nofileSoft: number;
  /** Bits of the features that it shall do without. */
  readonly without: number;
  readonly onError: (line: string) => void;
}

const helloMs = 10_000;

/** One C agent and the socket to it, until it dies. */
export class Connection {
  readonly pid: number;
  /** Resolves when the agent has died, with how. */
  readonly ended: Promise<string>;
  readonly #child: ChildProcess;
  readonly #socket: Duplex;
  readonly #parser = new FrameParser();
  readonly #receivers = new Map<number, Receiver>();
  readonly #ended = Promise.withResolvers<string>();
  #lastId = 0;
  #closed = false;

  private constructor(child: ChildProcess, socket: Duplex) {
    this.#child = child;
    this.#socket = socket;
    this.pid = child.pid ?? 0;
    this.ended = this.#ended.promise;
    child.once('error', (error) => this.#end(messageOf(error)));
    child.once('exit', (code, signal) => this.#end(signal === null ? `exit code ${code}` : `${signal}`));
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    // Without its socket it is of no use; how it died is told by its exit.
    socket.on('error', () => child.kill('SIGKILL'));
    socket.on('end', () => child.kill('SIGKILL'));
  }

  /** Starts an agent and waits for its first frame. */
  static async open(options: ConnectionOptions): Promise<Connection> {
    const { NOTIFY_SOCKET } = process.env;
    const child = spawn(options.program, ['agent', `${options.nofileSoft}`, `${options.without}`], {
      argv0: 'berth-agent',
      env: NOTIFY_SOCKET === undefined ? {} : { NOTIFY_SOCKET },
      cwd: '/',
      stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    });
    child.stderr?.on('data', (data: Buffer) => options.onError(data.toString('utf8').trim()));
    const connection = new Connection(child, child.stdio[3] as Duplex);
    try {
      await connection.#hello();
    } catch (error) {
      connection.close();
      throw error;
    }
    return connection;
  }

  /** Sends a frame with a new id, whose answers go to `receiver`; answers the id. */
  send(type: number, payload: Uint8Array, receiver: Receiver): number {
    if (this.#closed) throw new BerthError('unavailable', 'spawn agent: it has died');
    this.#lastId = (this.#lastId % 0xffff_fffe) + 1;
    this.#receivers.set(this.#lastId, receiver);
    this.#socket.write(encodeFrame(type, this.#lastId, payload));
    return this.#lastId;
  }

  signal(id: number, signal: number): void {
    if (!this.#closed && this.#receivers.has(id))
      this.#socket.write(encodeFrame(Frame.SIGNAL, id, encodeFields([signal])));
  }

  /** One frame there, one answer back. */
  ask(type: number, fields: readonly Field[]): Promise<FieldReader> {
    const { promise, resolve, reject } = Promise.withResolvers<FieldReader>();
    const frame = ({ type: answer, payload }: FrameIn): boolean => {
      if (answer === Frame.OK) resolve(new FieldReader(payload));
      else reject(nativeError(payload));
      return true;
    };
    this.send(type, encodeFields(fields), { frame, lost: reject });
    return promise;
  }

  /** Ends the agent; supervisors live on. */
  close(): void {
    this.#end('closed');
    this.#child.kill('SIGKILL');
  }

  #hello(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => reject(new BerthError('unavailable', 'spawn agent: no answer in 10 s')), helloMs);
    const frame = ({ type, payload }: FrameIn): boolean => {
      if (type === Frame.ERROR) reject(nativeError(payload));
      else if (new FieldReader(payload).number() === protocolVersion) resolve();
      else reject(new BerthError('failed-precondition', 'spawn agent: speaks another protocol version; rebuild it'));
      return true;
    };
    this.#receivers.set(0, { frame, lost: reject });
    this.#socket.write(encodeFrame(Frame.HELLO, 0, encodeFields([protocolVersion])));
    return promise.finally(() => clearTimeout(timer));
  }

  #receive(chunk: Buffer): void {
    try {
      for (const frame of this.#parser.push(chunk))
        if (this.#receivers.get(frame.id)?.frame(frame) === true) this.#receivers.delete(frame.id);
    } catch (error) {
      // A stream that is out of step cannot be trusted again.
      this.#end(messageOf(error));
      this.#child.kill('SIGKILL');
    }
  }

  #end(how: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.destroy();
    const lost = new BerthError('unavailable', `spawn agent died: ${how}`);
    const receivers = [...this.#receivers.values()];
    this.#receivers.clear();
    for (const receiver of receivers) receiver.lost(lost);
    this.#ended.resolve(how);
  }
}
