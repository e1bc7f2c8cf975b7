import { setTimeout as delay } from 'node:timers/promises';
import { BerthError, messageOf } from '../base/errors.ts';
import { step } from '../base/step.ts';
import { Connection } from './connection.ts';
import { type FeatureName, featuresOf, type KernelFeatures, maskOf } from './features.ts';
import type { Field, FieldReader } from './frames.ts';
import { cString } from './frames.ts';
import { shimProgram } from './program.ts';
import { Frame } from './protocol.ts';
import { Run, type RunRequest, type RunResult } from './run.ts';
import { type StartReport, type SuperviseOptions, supervise } from './supervise.ts';

export { SELF } from './program.ts';
export type { RunRequest, RunResult } from './run.ts';
export type { StartReport, SuperviseOptions } from './supervise.ts';

export interface AgentOptions {
  /** Default: shimProgram(). */
  readonly program?: string;
  readonly log: { warn(fields: object, message: string): void; error(fields: object, message: string): void };
  /** Features to do without (switchedOff). */
  readonly without?: readonly FeatureName[];
  /** Soft RLIMIT_NOFILE of all that is started; Node has raised its own. Default 1024. */
  readonly nofileSoft?: number;
}

/** After so many deaths or failed starts in a row, runs are refused at once instead of waiting for the next agent. */
const patience = 5;
const longestDelayMs = 5000;
/** Each has 64 KiB of interfaces at most, and all of them go into one frame. */
const namespacesAtOnce = 32;
/** An agent that lived so long was a good one. */
const goodMs = 10_000;

/** The spawn agent: the only way in which the daemon starts a process. Its C half is started again when it dies. */
export class Agent implements AsyncDisposable {
  readonly features: KernelFeatures;
  readonly kernel: string;
  readonly #options: Required<AgentOptions>;
  #connection: Promise<Connection>;
  #failures = 0;
  #lastFailure = '';
  #restarts = 0;
  /** One question at a time: an agent that hangs answers none. */
  #asked: Promise<string | undefined> | undefined;
  readonly #closing = new AbortController();

  private constructor(
    options: Required<AgentOptions>,
    connection: Connection,
    features: KernelFeatures,
    kernel: string,
  ) {
    this.#options = options;
    this.#connection = Promise.resolve(connection);
    this.features = features;
    this.kernel = kernel;
    void this.#watch(connection);
  }

  static async start(options: AgentOptions): Promise<Agent> {
    const program = options.program ?? (await shimProgram());
    const complete = { nofileSoft: 1024, without: [], ...options, program };
    const connection = await openConnection(complete);
    const probe = await connection.ask(Frame.PROBE, []);
    return new Agent(complete, connection, featuresOf(probe.number()), probe.text());
  }

  /** How often the C agent was started again. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Why no process can be started now; undefined while all is well. */
  problem(): string | undefined {
    if (this.#failures < patience) return undefined;
    return `spawn agent: died or failed to start ${this.#failures} times in a row, last: ${this.#lastFailure}`;
  }

  /** The same asked of the C agent itself, which may be hung; `limitMs` for its answer. */
  async check(limitMs: number): Promise<string | undefined> {
    const problem = this.problem();
    if (problem !== undefined || this.#closing.signal.aborted) return problem ?? 'spawn agent: the daemon is ending';
    this.#asked ??= this.tryLock('/proc/self/none')
      .then(() => undefined, messageOf)
      .finally(() => {
        this.#asked = undefined;
      });
    const late = `spawn agent: no answer in ${limitMs} ms`;
    return Promise.race([this.#asked, delay(limitMs, late, { ref: false })]);
  }

  /** Runs a program to its end; a code other than 0 is the caller's to judge. `unavailable` when the agent dies meanwhile. */
  run(request: RunRequest): Promise<RunResult> {
    const object = request.object ?? request.lock ?? '';
    return step(request.name, async () => new Run(request).on(await this.#ready()), { object });
  }

  /** Starts a container's supervisor, and resolves at its report that the container runs (or waits). */
  supervise(bundle: string, options: SuperviseOptions = {}): Promise<StartReport> {
    const { cgroupKill } = this.features;
    const start = async () => supervise(await this.#ready(), bundle, { cgroupKill, ...options });
    return step('supervise', start, { object: bundle });
  }

  /** Whether nobody holds the lock, and the process group in the file (0: none). A missing file is free. */
  async tryLock(path: string): Promise<{ readonly free: boolean; readonly pid: number }> {
    const answer = await this.#ask(Frame.TRY_LOCK, [cString(path, 'lock')]);
    return { free: answer.number() !== 0, pid: answer.number() };
  }

  /** Waits so long for the lock, then kills the holder with its process group. Resolves when the lock is free. */
  async endHolder(path: string, waitMs: number): Promise<void> {
    const fields = [cString(path, 'lock'), waitMs];
    await step('end lock holder', () => this.#ask(Frame.END_HOLDER, fields), { object: path });
  }

  /** sd_notify(3): `READY=1`. Nothing happens without NOTIFY_SOCKET. */
  async notify(text: string): Promise<void> {
    await this.#ask(Frame.NOTIFY, [text]);
  }

  /** /proc/net/dev of network namespaces by the paths of their pins; "" for one that is not there. */
  async netDevices(paths: readonly string[]): Promise<readonly string[]> {
    const texts: string[] = [];
    for (let at = 0; at < paths.length; at += namespacesAtOnce) {
      const some = paths.slice(at, at + namespacesAtOnce);
      const answer = await this.#ask(Frame.NET_DEVICES, [some.length, ...some.map((path) => cString(path, 'netns'))]);
      texts.push(...some.map(() => answer.text()));
    }
    return texts;
  }

  /** Ends the agent and what it runs; supervisors live on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    const connection = await this.#connection.catch(() => undefined);
    connection?.close();
  }

  async #ask(type: number, fields: readonly Field[]): Promise<FieldReader> {
    const connection = await this.#ready();
    return connection.ask(type, fields);
  }

  #ready(): Promise<Connection> {
    if (this.#closing.signal.aborted) throw new BerthError('unavailable', 'spawn agent: the daemon is ending');
    const problem = this.problem();
    if (problem !== undefined) throw new BerthError('unavailable', problem);
    return this.#connection;
  }

  async #watch(connection: Connection): Promise<void> {
    const started = performance.now();
    const how = await connection.ended;
    if (this.#closing.signal.aborted) return;
    if (performance.now() - started >= goodMs) this.#failures = 0;
    this.#count(`${this.#options.program}: ${how}`);
    this.#connection = this.#again();
    // Whoever waits for it gets the error; nobody may be waiting.
    this.#connection.catch(() => undefined);
  }

  async #again(): Promise<Connection> {
    while (!this.#closing.signal.aborted) {
      try {
        await delay(Math.min(50 * 2 ** this.#failures, longestDelayMs), undefined, { signal: this.#closing.signal });
        const connection = await openConnection(this.#options);
        if (this.#closing.signal.aborted) connection.close();
        this.#restarts += 1;
        void this.#watch(connection);
        // Refused runs may go on; a quick death counts on, since only #watch sets the count back.
        this.#failures = Math.min(this.#failures, patience - 1);
        return connection;
      } catch (error) {
        if (!this.#closing.signal.aborted) this.#count(messageOf(error));
      }
    }
    throw new BerthError('unavailable', 'spawn agent: the daemon is ending');
  }

  #count(how: string): void {
    this.#failures += 1;
    this.#lastFailure = how;
    this.#options.log.error({ failures: this.#failures, cause: how }, 'the spawn agent died; another is started');
  }
}

const openConnection = (options: Required<AgentOptions>): Promise<Connection> =>
  Connection.open({
    program: options.program,
    nofileSoft: options.nofileSoft,
    without: maskOf(options.without),
    onError: (line) => options.log.warn({ line }, 'spawn agent'),
  });
