import { BerthError, within } from '../base/errors.ts';
import { step } from '../base/step.ts';
import type { FrameIn } from './frames.ts';
import { nativeError } from './native-error.ts';
import { ExecFlag, Frame } from './protocol.ts';
import { ShimSocket } from './shim-socket.ts';
import { exitOf } from './supervisor.ts';

export interface ExecOptions {
  /** 0 or undefined: none. The exec is killed with all it started, and the call rejects with `deadline-exceeded`. */
  readonly timeoutMs?: number;
  /** Abort kills the exec as well and rejects with `cancelled`. */
  readonly signal?: AbortSignal;
  /** Bytes of each stream that are kept; the rest is read and thrown away. Default 16 MiB. */
  readonly limit?: number;
}

export interface ExecResult {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly exitCode: number;
}

/** One stream's first bytes. */
class Kept {
  readonly #parts: Buffer[] = [];
  #room: number;

  constructor(limit: number) {
    this.#room = limit;
  }

  add(bytes: Buffer): void {
    const part = bytes.subarray(0, this.#room);
    if (part.length === 0) return;
    this.#room -= part.length;
    // A copy: the frame's buffer is larger, and holding it would hold the rest.
    this.#parts.push(Buffer.from(part));
  }

  all(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

const id = 1;

/** One exec on its own connection. Closing the connection kills it: the supervisor sees to that, however this side ends. */
class Exec {
  readonly #socket: ShimSocket;
  readonly #stdout: Kept;
  readonly #stderr: Kept;
  readonly #result = Promise.withResolvers<ExecResult>();

  constructor(socket: ShimSocket, limit: number) {
    this.#socket = socket;
    this.#stdout = new Kept(limit);
    this.#stderr = new Kept(limit);
  }

  async run(plan: Uint8Array, { timeoutMs = 0, signal }: ExecOptions): Promise<ExecResult> {
    const abort = (): void => this.#result.reject(new BerthError('cancelled', 'cancelled'));
    const late = (): void =>
      this.#result.reject(new BerthError('deadline-exceeded', `did not end in ${timeoutMs} ms, killed`));
    const timer = timeoutMs > 0 ? setTimeout(late, timeoutMs) : undefined;
    signal?.addEventListener('abort', abort, { once: true });
    try {
      if (signal?.aborted) abort();
      this.#socket.listen({ frame: (frame) => this.#frame(frame), lost: (error) => this.#result.reject(error) });
      this.#socket.sendFields(Frame.EXEC, id, ExecFlag.STDOUT | ExecFlag.STDERR, plan);
      return await this.#result.promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    }
  }

  #frame({ type, payload }: FrameIn): void {
    if (type === Frame.STDOUT) this.#stdout.add(payload);
    else if (type === Frame.STDERR) this.#stderr.add(payload);
    else if (type === Frame.ERROR) this.#result.reject(nativeError(payload));
    else if (type === Frame.EXIT)
      this.#result.resolve({ stdout: this.#stdout.all(), stderr: this.#stderr.all(), exitCode: exitOf(payload).code });
  }
}

const defaultLimit = 16 << 20;

/**
 * Runs an exec's plan (compileExec) in a running container, to its end. Errors: `deadline-exceeded`, `cancelled`,
 * `unavailable` when the supervisor is gone, and what the plan failed with: `exec nosuch (looked for in PATH): ENOENT`.
 */
export const execSync = (bundle: string, plan: Uint8Array, options: ExecOptions = {}): Promise<ExecResult> =>
  step('exec', async () => {
    const socket = ShimSocket.connect(bundle);
    try {
      return await new Exec(socket, options.limit ?? defaultLimit).run(plan, options);
    } catch (error) {
      throw within('exec', error);
    } finally {
      socket.close();
    }
  });
