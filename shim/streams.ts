import { Readable, Writable } from 'node:stream';
import { within } from '../base/errors.ts';
import { step } from '../base/step.ts';
import { type OnOutput, ProcessConnection } from './process-connection.ts';

/** Which streams a client wants of a process; `tty`: the process has a terminal, whose output is all stdout. */
export interface WantedStreams {
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** Abort ends the opening, and afterwards what `close` ends. */
  readonly signal?: AbortSignal;
}

export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/** How a process ended: 128 + signal when a signal ended it; signal 0: none. */
export interface ProcessEnd {
  readonly code: number;
  readonly signal: number;
}

/** A running process seen through its streams: an exec, or the container's main process. */
export interface ProcessStreams {
  /** `end()` closes the process's stdin. */
  readonly stdin: Writable | undefined;
  /** With back-pressure to the pipe in the container. Its end comes before `ended`, and it must be read for that. */
  readonly stdout: Readable | undefined;
  readonly stderr: Readable | undefined;
  /** The terminal has this size at once; without a terminal nothing happens. */
  resize(size: TerminalSize): void;
  /** An attach's resolves when the container ends. Errors: `unavailable` (the supervisor is lost), `cancelled` (`close`). */
  readonly ended: Promise<ProcessEnd>;
  /** The client has gone: an exec is killed with all that it started, an attach ends. */
  close(): void;
}

/** Starts an exec's plan (compileExec) in a running container. Errors: as execSync (exec.ts). */
export const openExec = (bundle: string, plan: Uint8Array, wanted: WantedStreams): Promise<ProcessStreams> =>
  step('exec', () => open('exec', wanted, (onOutput) => ProcessConnection.exec(bundle, plan, wanted, onOutput)));

/** Joins the streams of the main process: output from now on. Errors: `unavailable`, `failed-precondition` when it has ended. */
export const openAttach = (bundle: string, wanted: WantedStreams): Promise<ProcessStreams> =>
  open('attach', wanted, (onOutput) => ProcessConnection.attach(bundle, wanted, onOutput));

const open = async (
  action: string,
  wanted: WantedStreams,
  connect: (onOutput: OnOutput) => ProcessConnection,
): Promise<ProcessStreams> => {
  const streams = new Streams(wanted, connect);
  const abort = (): void => streams.close();
  wanted.signal?.addEventListener('abort', abort, { once: true });
  if (wanted.signal?.aborted) abort();
  streams.ended.catch(() => undefined).finally(() => wanted.signal?.removeEventListener('abort', abort));
  try {
    await streams.opened;
    return streams;
  } catch (error) {
    streams.close();
    throw within(action, error);
  }
};

class Streams implements ProcessStreams {
  readonly stdin: Writable | undefined;
  readonly stdout: Readable | undefined;
  readonly stderr: Readable | undefined;
  readonly opened: Promise<number>;
  readonly ended: Promise<ProcessEnd>;
  readonly #connection: ProcessConnection;

  constructor({ stdin, stdout, stderr }: WantedStreams, connect: (onOutput: OnOutput) => ProcessConnection) {
    // What nobody takes any more must not hold up the other stream, nor the end.
    const connection = connect((stream, bytes) => this[stream]?.destroyed !== false || this[stream].push(bytes));
    this.#connection = connection;
    this.stdin = stdin ? stdinOf(connection) : undefined;
    this.stdout = stdout ? outputOf(connection) : undefined;
    this.stderr = stderr ? outputOf(connection) : undefined;
    this.opened = connection.opened;
    this.ended = connection.ended;
    connection.ended.then(
      () => this.#finish(),
      (error) => this.#finish(error),
    );
  }

  resize(size: TerminalSize): void {
    this.#connection.resize(size);
  }

  close(): void {
    this.#connection.close();
  }

  #finish(error?: Error): void {
    // Who waits for the end of the process looks at `ended`: a stream that nobody listens to must not throw.
    for (const output of [this.stdout, this.stderr]) {
      if (error === undefined) output?.push(null);
      else output?.on('error', () => undefined).destroy(error);
    }
    this.stdin?.on('error', () => undefined).destroy();
  }
}

const outputOf = (connection: ProcessConnection): Readable => new Readable({ read: () => connection.resume() });

const stdinOf = (connection: ProcessConnection): Writable =>
  new Writable({
    write: (bytes: Buffer, _encoding, done) => connection.write(bytes, () => done()),
    final: (done) => {
      connection.endStdin();
      done();
    },
  });
