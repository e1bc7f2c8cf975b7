import { constants } from 'node:os';
import { BerthError, within } from '../base/errors.ts';
import type { Connection, Receiver } from './connection.ts';
import { cString, encodeFields, type Field, FieldReader, type FrameIn } from './frames.ts';
import { nativeError } from './native-error.ts';
import { Frame, RunFlag } from './protocol.ts';

export interface RunRequest {
  /** argv[0] is an absolute path, or SELF (program.ts): the agent's own sealed copy of berth-shim. */
  readonly argv: readonly string[];
  /** All of it: nothing is inherited. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default `/`. */
  readonly cwd?: string;
  /** At most 1 MiB; it can be opened as /dev/stdin as well. */
  readonly stdin?: Uint8Array;
  /** A file that stays locked as long as the process or a child of it lives; its process group stands in it. */
  readonly lock?: string;
  /** Lives on when the agent dies. Default false: it is killed with its process group. */
  readonly outlive?: boolean;
  /** Gets the mount template as descriptor 4. */
  readonly template?: boolean;
  /** `cgroup.procs` (v2) or `tasks` (v1) files that it joins before it executes. */
  readonly cgroupProcs?: readonly string[];
  /** Abort kills the process group and rejects with `cancelled`. */
  readonly signal?: AbortSignal;
  /** After so long the same, with `deadline-exceeded`. */
  readonly timeoutMs?: number;
  /** For step() and for errors: `cni bridge ADD`. Holds no id. */
  readonly name: string;
  /** For the log when it hangs: whose run it is. The lock unless given. */
  readonly object?: string;
}

export interface RunResult {
  /** 128 + signal when a signal ended it. */
  readonly code: number;
  /** 0: it exited. */
  readonly signal: number;
  /** The first 1 MiB of each; what was more is lost. */
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

export const stdinLimit = 1 << 20;

const list = (values: readonly string[], what: string): Field[] => [
  values.length,
  ...values.map((value) => cString(value, what)),
];

export const encodeRun = (request: RunRequest): Buffer => {
  const { stdin = new Uint8Array(), name } = request;
  if (stdin.length > stdinLimit)
    throw new BerthError('invalid-argument', `${name}: ${stdin.length} bytes of stdin, limit ${stdinLimit}`);
  const flags = (request.outlive ? RunFlag.OUTLIVE : 0) | (request.template ? RunFlag.TEMPLATE : 0);
  return encodeFields([
    flags,
    cString(request.cwd ?? '/', name),
    cString(request.lock ?? '', name),
    stdin,
    ...list(request.cgroupProcs ?? [], name),
    ...list(request.argv, name),
    ...list(
      Object.entries(request.env ?? {}).map(([key, value]) => `${key}=${value}`),
      name,
    ),
  ]);
};

/** A kill takes effect at once, but for a process that hangs in the kernel; nobody waits for that one. */
const killedMs = 2000;

/** One run on one agent. */
export class Run implements Receiver {
  readonly result: Promise<RunResult>;
  pid = 0;
  readonly #request: RunRequest;
  readonly #settle = Promise.withResolvers<RunResult>();
  readonly #stdout: Buffer[] = [];
  readonly #stderr: Buffer[] = [];
  readonly #onStdout: ((data: Buffer) => void) | undefined;
  #killed: BerthError | undefined;

  constructor(request: RunRequest, onStdout?: (data: Buffer) => void) {
    this.#request = request;
    this.#onStdout = onStdout;
    this.result = this.#settle.promise;
  }

  async on(connection: Connection): Promise<RunResult> {
    const { signal, timeoutMs, name } = this.#request;
    if (signal?.aborted) throw new BerthError('cancelled', `${name}: cancelled before it started`);
    const id = connection.send(Frame.RUN, encodeRun(this.#request), this);
    const kill = (error: BerthError): void => this.#kill(connection, id, error);
    const aborted = (): void => kill(new BerthError('cancelled', `${name}: cancelled, killed`));
    const expired = (): void =>
      kill(new BerthError('deadline-exceeded', `${name}: not done in ${timeoutMs} ms, killed`));
    const timer = timeoutMs === undefined ? undefined : setTimeout(expired, timeoutMs);
    signal?.addEventListener('abort', aborted, { once: true });
    try {
      return await this.result;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', aborted);
    }
  }

  frame({ type, payload }: FrameIn): boolean {
    if (type === Frame.RUN_STARTED) this.pid = new FieldReader(payload).number();
    else if (type === Frame.RUN_STDOUT) this.#take(payload);
    else if (type === Frame.RUN_STDERR) this.#stderr.push(payload);
    else if (type === Frame.RUN_EXIT) this.#exit(new FieldReader(payload));
    else this.#settle.reject(within(this.#request.name, nativeError(payload)));
    return type === Frame.RUN_EXIT || type === Frame.ERROR;
  }

  lost(error: BerthError): void {
    this.#settle.reject(this.#killed ?? within(this.#request.name, error));
  }

  #take(data: Buffer): void {
    this.#stdout.push(data);
    this.#onStdout?.(data);
  }

  #exit(reader: FieldReader): void {
    const [code, signal] = [reader.number(), reader.number()];
    if (this.#killed !== undefined) this.#settle.reject(this.#killed);
    else
      this.#settle.resolve({ code, signal, stdout: Buffer.concat(this.#stdout), stderr: Buffer.concat(this.#stderr) });
  }

  #kill(connection: Connection, id: number, error: BerthError): void {
    this.#killed ??= error;
    connection.signal(id, constants.signals.SIGKILL);
    setTimeout(() => this.#settle.reject(error), killedMs).unref();
  }
}
