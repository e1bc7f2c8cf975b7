import { BerthError, errnoOf, within } from '../base/errors.ts';
import { FieldReader, type FrameIn } from './frames.ts';
import { nativeError } from './native-error.ts';
import { ExecFlag, Frame } from './protocol.ts';
import { ShimSocket } from './shim-socket.ts';
import type { ProcessEnd, TerminalSize, WantedStreams } from './streams.ts';

/** Who gets the process's output. False: not more for now; `resume` says when. */
export type OnOutput = (stream: 'stdout' | 'stderr', bytes: Buffer) => boolean;

/** The longest frame of stdin: what waits for a process that does not read is held by the supervisor as well. */
const pieceBytes = 64 << 10;

const id = 1;

/** One exec or attach, on its own connection to the supervisor. Closing it kills an exec, and ends an attach. */
export class ProcessConnection {
  /** The process runs (its pid; 0 for an attach). Errors: what its plan failed with, `unavailable`. */
  readonly opened: Promise<number>;
  /** Errors: as `opened`; `unavailable` when the supervisor is lost. */
  readonly ended: Promise<ProcessEnd>;
  readonly #socket: ShimSocket;
  readonly #onOutput: OnOutput;
  readonly #opened = Promise.withResolvers<number>();
  readonly #ended = Promise.withResolvers<ProcessEnd>();
  readonly #bundle: string;
  #sizes: ShimSocket | undefined;
  /** 0: the main process. */
  #pid = 0;
  #isFed = false;
  #over = false;

  private constructor(bundle: string, onOutput: OnOutput) {
    this.#onOutput = onOutput;
    this.#bundle = bundle;
    this.opened = this.#opened.promise;
    this.ended = this.#ended.promise;
    this.opened.catch(() => undefined);
    this.ended.catch(() => undefined);
    this.#socket = ShimSocket.connect(bundle);
    this.#socket.listen({ frame: (frame) => this.#frame(frame), lost: (error) => this.#fail(error) });
  }

  /** Starts an exec's plan (compileExec). */
  static exec(bundle: string, plan: Uint8Array, wanted: WantedStreams, onOutput: OnOutput): ProcessConnection {
    const connection = new ProcessConnection(bundle, onOutput);
    try {
      connection.#socket.sendFields(Frame.EXEC, id, flagsOf(wanted), plan);
    } catch (error) {
      // More than a frame holds: the supervisor has not heard of it, and the connection must not stay.
      connection.close(error instanceof BerthError ? error : within('send', error));
    }
    return connection;
  }

  /** Joins the main process's streams. */
  static attach(bundle: string, wanted: WantedStreams, onOutput: OnOutput): ProcessConnection {
    const connection = new ProcessConnection(bundle, onOutput);
    connection.#socket.sendFields(Frame.ATTACH, id, flagsOf(wanted));
    return connection;
  }

  /** Calls back when there is room for more. */
  write(bytes: Buffer, done: () => void): void {
    this.#isFed = true;
    let room = true;
    for (let at = 0; at < bytes.length; at += pieceBytes)
      room = this.#socket.send(Frame.STDIN, id, bytes.subarray(at, at + pieceBytes));
    if (room) done();
    else this.#socket.onceDrained(done);
  }

  endStdin(): void {
    this.#socket.send(Frame.STDIN_END, id);
  }

  /**
   * Before any input on this connection, so that the size is there when the process reads its first; afterwards over one of its own,
   * since on this one it would wait for input that the process does not read.
   */
  resize({ rows, columns }: TerminalSize): void {
    if (this.#over) return;
    if (!this.#isFed) {
      this.#socket.sendFields(Frame.RESIZE, id, rows, columns);
      return;
    }
    this.#sizes ??= ShimSocket.connect(this.#bundle);
    this.#sizes.sendFields(Frame.RESIZE, id, rows, columns, this.#pid);
  }

  /** After `onOutput` answered false. */
  resume(): void {
    this.#socket.resume();
  }

  close(error = new BerthError('cancelled', 'closed')): void {
    this.#fail(error);
    this.#end();
  }

  #frame({ type, payload }: FrameIn): void {
    if (type === Frame.STDOUT) this.#output('stdout', payload);
    else if (type === Frame.STDERR) this.#output('stderr', payload);
    else if (type === Frame.OK) this.#runs(payload);
    else if (type === Frame.ERROR) this.#fail(ofEnded(nativeError(payload)));
    else if (type === Frame.EXIT) this.#exit(new FieldReader(payload));
  }

  #runs(payload: Buffer): void {
    this.#pid = payload.length === 0 ? 0 : new FieldReader(payload).number();
    this.#opened.resolve(this.#pid);
  }

  #end(): void {
    this.#over = true;
    this.#socket.close();
    this.#sizes?.close();
  }

  #output(stream: 'stdout' | 'stderr', bytes: Buffer): void {
    if (!this.#onOutput(stream, bytes)) this.#socket.pause();
  }

  #exit(reader: FieldReader): void {
    this.#ended.resolve({ code: reader.number(), signal: reader.number() });
    this.#end();
  }

  #fail(error: BerthError): void {
    this.#opened.reject(error);
    this.#ended.reject(error);
  }
}

/** A container that is just ending takes no process any more: what it is asked for then comes too late, and nothing is broken. */
const ofEnded = (error: BerthError): BerthError =>
  errnoOf(error.cause) === 'ESRCH'
    ? new BerthError('failed-precondition', `the container has ended (${error.message})`, { cause: error })
    : error;

const flagsOf = ({ stdin, tty, stdout, stderr }: WantedStreams): number =>
  (stdin ? ExecFlag.STDIN : 0) |
  (tty ? ExecFlag.TTY : 0) |
  (stdout ? ExecFlag.STDOUT : 0) |
  (stderr ? ExecFlag.STDERR : 0);
