import { randomBytes } from 'node:crypto';
import { BerthError } from '../../base/errors.ts';

/** kubelet, which asks for a token, comes back with it at once. */
const lifeMs = 60_000;
/** Tokens that nobody came back with, at the same time. */
const limit = 1000;
const tokenBytes = 16;

/** One-use names for what was asked for, that nobody can guess. */
export class Tokens<Session> {
  /** In the order of their making, so the oldest is the first. */
  readonly #waiting = new Map<string, { readonly session: Session; readonly until: number }>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Errors: `resource-exhausted`. */
  give(session: Session): string {
    this.#dropLate();
    if (this.#waiting.size >= limit)
      throw new BerthError(
        'resource-exhausted',
        `streaming: ${limit} requests wait for their client already; try again in a minute`,
      );
    const token = randomBytes(tokenBytes).toString('base64url');
    this.#waiting.set(token, { session, until: this.#now() + lifeMs });
    return token;
  }

  /** What it stands for, once; undefined when it is unknown, used or late. */
  take(token: string): Session | undefined {
    const found = this.#waiting.get(token);
    this.#waiting.delete(token);
    return found === undefined || found.until <= this.#now() ? undefined : found.session;
  }

  get size(): number {
    return this.#waiting.size;
  }

  #dropLate(): void {
    for (const [token, { until }] of this.#waiting) {
      if (until > this.#now()) return;
      this.#waiting.delete(token);
    }
  }
}
