import { setInterval as every } from 'node:timers/promises';
import { messageOf } from '../../base/errors.ts';
import type { Log } from '../log.ts';

/** What is told of a recovery. */
export interface Progress {
  readonly done: number;
  readonly total: number;
}

interface Options {
  /** sd_notify(3); the spawn agent sends it. */
  readonly notify: (text: string) => Promise<void>;
  readonly log: Log;
  /** NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What keeps the daemon from serving; WATCHDOG=1 is sent only when it finds nothing. */
  readonly problem: () => Promise<string | undefined>;
  /** "12 pods, 30 containers" */
  readonly counts: () => string;
  readonly signal: AbortSignal;
}

/** While a recovery gets on, systemd waits so long for the next word of it. */
const extendSeconds = 60;
const statusMs = 10_000;

/** What systemd is told of this daemon, and when; nothing without NOTIFY_SOCKET. */
export class ServiceManager {
  readonly #options: Options;
  readonly #watchdogMs: number | undefined;
  #status = '';

  constructor(options: Options) {
    this.#options = options;
    this.#watchdogMs = watchdogInterval(options.env);
  }

  /** While objects are recovered: how far it is, and time for it, but only when it got on. */
  async recovering(progress: () => Progress, end: AbortSignal): Promise<void> {
    if (!this.#listens) return;
    let last = -1;
    for await (const _ of ticks(1000, end)) {
      const { done, total } = progress();
      if (done === last) continue;
      last = done;
      await this.#send(`STATUS=recovering ${done}/${total}\nEXTEND_TIMEOUT_USEC=${extendSeconds * 1_000_000}`);
    }
  }

  /** Also begins to feed the watchdog. */
  async ready(): Promise<void> {
    this.#status = this.#options.counts();
    await this.#send(`READY=1\nSTATUS=${this.#status}`);
    if (!this.#listens) return;
    void this.#watch();
  }

  /** The configuration is read anew; `ready` ends that. */
  async reloading(): Promise<void> {
    const microseconds = process.hrtime.bigint() / 1000n;
    await this.#send(`RELOADING=1\nMONOTONIC_USEC=${microseconds}\nSTATUS=reading the configuration`);
  }

  async reloaded(): Promise<void> {
    this.#status = this.#options.counts();
    await this.#send(`READY=1\nSTATUS=${this.#status}`);
  }

  async stopping(): Promise<void> {
    await this.#send('STOPPING=1\nSTATUS=stopping; containers run on');
  }

  get #listens(): boolean {
    return (this.#options.env.NOTIFY_SOCKET ?? '') !== '';
  }

  async #watch(): Promise<void> {
    const { signal } = this.#options;
    for await (const _ of ticks(Math.min(this.#watchdogMs ?? statusMs, statusMs), signal)) {
      const alive = this.#watchdogMs !== undefined && (await this.#alive());
      const status = this.#options.counts();
      const lines = [...(alive ? ['WATCHDOG=1'] : []), ...(status === this.#status ? [] : [`STATUS=${status}`])];
      this.#status = status;
      if (lines.length > 0) await this.#send(lines.join('\n'));
    }
  }

  async #alive(): Promise<boolean> {
    const problem = await this.#options.problem();
    if (problem !== undefined)
      this.#options.log.error({ problem }, 'the daemon does not answer itself: no word to the watchdog');
    return problem === undefined;
  }

  async #send(text: string): Promise<void> {
    if (!this.#listens) return;
    await this.#options
      .notify(text)
      .catch((error: unknown) => this.#options.log.warn({ error: messageOf(error) }, 'sd_notify failed'));
  }
}

/** A third of what systemd allows, so that one lost ping is no death; undefined without a watchdog for this process. */
const watchdogInterval = ({ WATCHDOG_USEC: usec, WATCHDOG_PID: pid }: Options['env']): number | undefined => {
  if (usec === undefined || !/^[1-9]\d{0,15}$/.test(usec)) return undefined;
  if (pid !== undefined && pid !== `${process.pid}`) return undefined;
  return Math.max(Number(usec) / 3000, 10);
};

/** Ends without an error when the signal is aborted; keeps no process. */
async function* ticks(ms: number, signal: AbortSignal): AsyncGenerator<void> {
  try {
    for await (const _ of every(ms, undefined, { signal, ref: false })) yield;
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
