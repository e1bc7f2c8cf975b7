import { messageOf } from '../../base/errors.ts';
import type { Log } from '../log.ts';

/**
 * Opens something that the daemon can do without, at once if that works and else later: a port that another program has must not
 * keep a node from running pods.
 */
export class Persistent implements AsyncDisposable {
  readonly #open: () => Promise<AsyncDisposable>;
  readonly #log: Log;
  readonly #everyMs: number;
  #opened: AsyncDisposable | undefined;
  #trying: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #isEnded = false;

  private constructor(open: () => Promise<AsyncDisposable>, log: Log, everyMs: number) {
    this.#open = open;
    this.#log = log;
    this.#everyMs = everyMs;
  }

  /** Resolves after the first try. Failures are told in the log. */
  static async start(open: () => Promise<AsyncDisposable>, log: Log, everyMs = 10_000): Promise<Persistent> {
    const persistent = new Persistent(open, log, everyMs);
    await persistent.#try('');
    return persistent;
  }

  async #try(last: string): Promise<void> {
    try {
      this.#opened = await this.#open();
      if (last !== '') this.#log.info({ before: last }, 'opened at last');
    } catch (error) {
      const cause = messageOf(error);
      if (cause !== last) this.#log.error({ error: cause }, 'berthd goes on without, and tries again');
      if (!this.#isEnded) this.#again(cause);
    }
  }

  #again(last: string): void {
    this.#timer = setTimeout(() => {
      this.#trying = this.#try(last);
    }, this.#everyMs).unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    clearTimeout(this.#timer);
    await this.#trying;
    await this.#opened?.[Symbol.asyncDispose]();
  }
}
