import { join } from 'node:path';
import { BerthError } from '../base/errors.ts';
import { readJson } from '../base/files.ts';
import { step } from '../base/step.ts';
import { type Field, FieldReader, type FrameIn } from './frames.ts';
import { nativeError } from './native-error.ts';
import { Frame } from './protocol.ts';
import { ShimSocket } from './shim-socket.ts';

/** How a container or an exec ended. */
export interface Exit {
  /** 128 + signal when a signal ended it. */
  readonly code: number;
  /** 0: none. */
  readonly signal: number;
  /** Nanoseconds since 1970. */
  readonly finishedAt: bigint;
  readonly oomKilled: boolean;
}

export type KillScope = 'main' | 'all';

export interface SupervisorState {
  readonly pid: number;
  /** Nanoseconds since 1970. */
  readonly startedAt: bigint;
  readonly state: 'waiting' | 'running' | 'exited';
}

const states = ['waiting', 'running', 'exited'] as const;

/** FRAME_EXIT's fields. */
export const exitOf = (payload: Buffer): Exit => {
  const reader = new FieldReader(payload);
  return {
    code: reader.number(),
    signal: reader.number(),
    finishedAt: reader.bigint(),
    oomKilled: reader.number() !== 0,
  };
};

/** One connection to a container's supervisor, for any number of requests. Errors: `unavailable` when it is lost. */
export class Supervisor {
  readonly #socket: ShimSocket;
  readonly #bundle: string;
  readonly #waiting = new Map<number, PromiseWithResolvers<FrameIn>>();
  #lastId = 0;
  #lost: BerthError | undefined;

  /** `bundle` is for the log when it does not answer. */
  constructor(socket: ShimSocket, bundle = '') {
    this.#socket = socket;
    this.#bundle = bundle;
    socket.listen({ frame: (frame) => this.#answer(frame), lost: (error) => this.#lose(error) });
  }

  async state(): Promise<SupervisorState> {
    const reader = new FieldReader(await this.#ask(Frame.STATE));
    const [pid, startedAt, state] = [reader.number(), reader.bigint(), states[reader.number()]];
    if (state === undefined) throw new BerthError('internal', 'supervisor: unknown state');
    return { pid, startedAt, state };
  }

  /** Resolves when the container has ended and its `exit` file is written. */
  async wait(): Promise<Exit> {
    return exitOf(await this.#ask(Frame.WAIT));
  }

  /** Lets a container go on whose plan waits; resolves when its program runs. Errors: as a start's. */
  async go(): Promise<Pick<SupervisorState, 'pid' | 'startedAt'>> {
    const reader = new FieldReader(await step('supervisor go', () => this.#ask(Frame.GO)));
    return { pid: reader.number(), startedAt: reader.bigint() };
  }

  /** `main`: the main process; `all`: everything in the container. */
  kill(signal: number, scope: KillScope): Promise<void> {
    return this.#change('kill', Frame.KILL, signal, scope === 'all' ? 1 : 0);
  }

  /** No line is lost; on an error the old file stays in use. */
  reopenLog(): Promise<void> {
    return this.#change('reopen log', Frame.REOPEN_LOG);
  }

  /** A plan of CGROUP_WRITE operations; while the container waits also of the others that make a cgroup. */
  update(plan: Uint8Array): Promise<void> {
    return this.#change('update', Frame.UPDATE, plan);
  }

  close(): void {
    this.#lose(new BerthError('unavailable', 'supervisor: the connection was closed'));
    this.#socket.close();
  }

  #change(name: string, type: number, ...fields: readonly Field[]): Promise<void> {
    const ask = async (): Promise<void> => void (await this.#ask(type, ...fields));
    return step(`supervisor ${name}`, ask, { object: this.#bundle });
  }

  async #ask(type: number, ...fields: readonly Field[]): Promise<Buffer> {
    if (this.#lost !== undefined) throw this.#lost;
    this.#lastId += 1;
    const answer = Promise.withResolvers<FrameIn>();
    this.#waiting.set(this.#lastId, answer);
    this.#socket.sendFields(type, this.#lastId, ...fields);
    const frame = await answer.promise;
    if (frame.type === Frame.ERROR) throw nativeError(frame.payload);
    return frame.payload;
  }

  #answer(frame: FrameIn): void {
    this.#waiting.get(frame.id)?.resolve(frame);
    this.#waiting.delete(frame.id);
  }

  #lose(error: BerthError): void {
    this.#lost ??= error;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject } of waiting) reject(error);
  }
}

/** Connects to the supervisor of a bundle directory. Errors: `unavailable` when none answers. */
export const connectSupervisor = async (bundle: string): Promise<Supervisor> =>
  new Supervisor(await ShimSocket.open(bundle), bundle);

/** Whether a supervisor cannot be spoken to for its version: no later try will change that. */
export const isOtherVersion = (error: unknown): boolean =>
  error instanceof BerthError && error.code === 'failed-precondition';

const isExit = (value: unknown): value is { code: number; signal: number; finishedAt: string; oomKilled: boolean } =>
  typeof value === 'object' &&
  value !== null &&
  'code' in value &&
  typeof value.code === 'number' &&
  'signal' in value &&
  typeof value.signal === 'number' &&
  'finishedAt' in value &&
  typeof value.finishedAt === 'string' &&
  /^\d+$/.test(value.finishedAt) &&
  'oomKilled' in value &&
  typeof value.oomKilled === 'boolean';

/** The `exit` file that the supervisor left; undefined while there is none. Errors: `data-loss` when it is not one. */
export const readExit = async (bundle: string): Promise<Exit | undefined> => {
  const path = join(bundle, 'exit');
  const value = await readJson(path, 4096);
  if (value === undefined) return undefined;
  if (!isExit(value)) throw new BerthError('data-loss', `read ${path}: not an exit record`);
  return { ...value, finishedAt: BigInt(value.finishedAt) };
};
