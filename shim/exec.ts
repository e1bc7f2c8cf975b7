import { BerthError, within } from '../base/errors.ts';
import { step } from '../base/step.ts';
import { ProcessConnection } from './process-connection.ts';
import type { WantedStreams } from './streams.ts';

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

const defaultLimit = 16 << 20;

/**
 * Runs an exec's plan (compileExec) in a running container, to its end. Errors: `deadline-exceeded`, `cancelled`,
 * `unavailable` when the supervisor is gone, and what the plan failed with: `exec nosuch (looked for in PATH): ENOENT: no such file or directory`.
 */
export const execSync = (bundle: string, plan: Uint8Array, options: ExecOptions = {}): Promise<ExecResult> =>
  step('exec', () => runToEnd(bundle, plan, options));

const wanted: WantedStreams = { tty: false, stdin: false, stdout: true, stderr: true };

const runToEnd = async (bundle: string, plan: Uint8Array, options: ExecOptions): Promise<ExecResult> => {
  const { limit = defaultLimit, timeoutMs = 0, signal } = options;
  const kept = { stdout: new Kept(limit), stderr: new Kept(limit) };
  const connection = ProcessConnection.exec(bundle, plan, wanted, (stream, bytes) => {
    kept[stream].add(bytes);
    return true;
  });
  const abort = (): void => connection.close(new BerthError('cancelled', 'cancelled'));
  const late = (): void =>
    connection.close(new BerthError('deadline-exceeded', `did not end in ${timeoutMs} ms, killed`));
  const timer = timeoutMs > 0 ? setTimeout(late, timeoutMs) : undefined;
  signal?.addEventListener('abort', abort, { once: true });
  if (signal?.aborted) abort();
  try {
    const { code } = await connection.ended;
    return { stdout: kept.stdout.all(), stderr: kept.stderr.all(), exitCode: code };
  } catch (error) {
    throw within('exec', error);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
    connection.close();
  }
};
