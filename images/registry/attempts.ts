import { BerthError, codeOf, messageOf } from '../../base/errors.ts';
import { markedFailure } from '../pull/failure.ts';
import { redacted } from './redact.ts';
import type { Repository } from './repository.ts';
import { canRetry, isOutage, temporary, waitOf } from './temporary.ts';

interface Failure {
  readonly error: unknown;
  readonly times: number;
}

/** What all hosts of a pull know of each other. */
export interface HostHealth {
  /** Did worse than not to have something: asked last until it does better, so that a dead mirror costs its time-out once. */
  readonly slow: Set<Repository>;
  readonly onFailure: (host: string, what: string, error: unknown) => void;
}

/** The hosts that are asked for one thing, in order, and how each has failed so far. */
export class Attempts {
  readonly #what: string;
  readonly #hosts: readonly Repository[];
  readonly #health: HostHealth;
  readonly #failures = new Map<Repository, Failure>();
  readonly #refused = new Set<Repository>();

  constructor(what: string, hosts: readonly Repository[], health: HostHealth) {
    this.#what = what;
    this.#hosts = hosts;
    this.#health = health;
  }

  /** Those that may still help: who has failed less often first, then in the order of the configuration. */
  get candidates(): readonly Repository[] {
    const hosts = this.#hosts.filter((host) => !this.#refused.has(host));
    const open = hosts.filter((host) => this.#isOpen(host));
    // Who asks once more after all have failed for good asks for something else: the whole instead of a part.
    return (open.length > 0 ? open : hosts)
      .map((host, at) => ({ host, at, slow: this.#health.slow.has(host) ? 1 : 0 }))
      .toSorted(
        (one, other) => this.#times(one.host) - this.#times(other.host) || one.slow - other.slow || one.at - other.at,
      )
      .map(({ host }) => host);
  }

  #isOpen(host: Repository): boolean {
    const failure = this.#failures.get(host);
    return failure === undefined || canRetry(failure.error);
  }

  #times(host: Repository): number {
    return this.#failures.get(host)?.times ?? 0;
  }

  /** Asks the candidates one after the other. Throws what all of them have answered; that can be tried again if one can. */
  async first<T>(
    ask: (host: Repository) => Promise<T>,
    signal: AbortSignal,
    candidates = this.candidates,
  ): Promise<readonly [Repository, T]> {
    for (const host of candidates) {
      try {
        const answer = await ask(host);
        this.#health.slow.delete(host);
        return [host, answer];
      } catch (error) {
        if (signal.aborted) throw error;
        this.note(host, error);
      }
    }
    throw this.error();
  }

  note(host: Repository, error: unknown): void {
    this.#failures.set(host, { error, times: this.#times(host) + 1 });
    if (codeOf(error) !== 'not-found') this.#health.slow.add(host);
    if (this.#hosts.length > 1) this.#health.onFailure(host.host, this.#what, error);
  }

  /** What it gave was wrong: it is not asked again for this. */
  refuse(host: Repository, error: unknown): void {
    this.note(host, error);
    this.#refused.add(host);
  }

  /** Of one host its own error. Of several one for all, with the code of the last, which is the registry itself. */
  error(): BerthError {
    const told = this.#hosts.flatMap((host) => {
      const failure = this.#failures.get(host);
      return failure === undefined ? [] : [{ host, error: failure.error }];
    });
    const last = told.at(-1)?.error;
    const error = told.length === 1 && last instanceof BerthError ? last : this.#joined(told, last);
    const open = told.map((one) => one.error).filter(canRetry);
    if (open.length > 0) temporary(error, Math.min(...open.map(waitOf)));
    const isDown = told.every(
      (one) => isOutage(one.error) || (one.error !== last && codeOf(one.error) === 'not-found'),
    );
    return isDown && told.length > 0 ? markedFailure('RegistryUnavailable', error) : error;
  }

  #joined(told: readonly { readonly host: Repository; readonly error: unknown }[], last: unknown): BerthError {
    const share = Math.max(80, Math.floor(longestMessage / Math.max(1, told.length)));
    const parts = told.map(({ host, error }) => this.#part(host, messageOf(error)).slice(0, share));
    return new BerthError(codeOf(last), `${this.#what}: of ${told.length} hosts none gives it: ${parts.join('; ')}`, {
      cause: last,
    });
  }

  #part(host: Repository, message: string): string {
    const text = redacted(message).replace(`${this.#what}: `, '');
    return text.includes(host.host) ? text : `${host.host}: ${text}`;
  }
}

const longestMessage = 1600;
