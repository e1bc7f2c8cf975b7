import { BerthError, codeOf } from '../../base/errors.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import { basicHeader } from './credentials.ts';
import type { Candidate } from './keyring.ts';
import { fetchToken, type Grant } from './token.ts';
import type { Reply, Sender } from './transport.ts';
import { untilGone } from './until-gone.ts';
import type { Wallet } from './wallet.ts';

/** What one host has granted for one set of scopes. */
export class Session {
  readonly #sender: Sender;
  readonly #wallet: Wallet;
  readonly #host: string;
  readonly #scopes: readonly string[];
  #challenges: readonly Challenge[] = [];
  #grant: Grant | undefined;
  #candidate: Candidate | undefined;
  /** Whether a request with the grant was let through: then a 401 means that it has ended, and no more than that. */
  #isTaken = false;
  #renewal: { readonly done: Promise<boolean>; readonly signal: AbortSignal } | undefined;

  constructor(sender: Sender, wallet: Wallet, host: string, scopes: readonly string[]) {
    this.#sender = sender;
    this.#wallet = wallet;
    this.#host = host;
    this.#scopes = scopes;
  }

  /** The Authorization header to send, renewed when its time is up; undefined before the first challenge. */
  async header(signal: AbortSignal): Promise<string | undefined> {
    const { until = Number.POSITIVE_INFINITY } = this.#grant ?? {};
    if (this.#isTaken && until < performance.now()) await this.#once(signal, () => this.#answer(signal));
    return this.#grant?.header;
  }

  taken(header: string | undefined): void {
    if (header !== undefined && header === this.#grant?.header) this.#isTaken = true;
  }

  /** Gets another header after `used` got a 401 or 403; false when there is nothing else to show. */
  async renew(used: string | undefined, reply: Reply, signal: AbortSignal): Promise<boolean> {
    if (this.#grant?.header !== used) return true;
    // Who is let in, and not here: others will not be either.
    if (reply.status === 403 && (used === undefined || this.#isTaken)) return false;
    return this.#once(signal, async () => {
      if (this.#grant?.header !== used) return true;
      if (reply.status === 401) this.#challenges = parseChallenges(reply.headers['www-authenticate'] ?? '');
      if (used !== undefined && !this.#isTaken && !this.#wallet.reject(this.#candidate)) return false;
      return this.#answer(signal);
    });
  }

  /** Layers that are refused at the same time share one renewal; that its beginner has gone ends it for nobody else. */
  async #once(signal: AbortSignal, action: () => Promise<boolean>): Promise<boolean> {
    for (;;) {
      const running = this.#renewal;
      if (running === undefined) break;
      try {
        return await untilGone(running.done, signal);
      } catch (error) {
        if (signal.aborted || !running.signal.aborted) throw error;
      }
    }
    const done = action().finally(() => {
      this.#renewal = undefined;
    });
    this.#renewal = { done, signal };
    return done;
  }

  /** With the credentials in use, or the next that the realm takes. */
  async #answer(signal: AbortSignal): Promise<boolean> {
    for (;;) {
      const candidate = await this.#wallet.current(signal);
      try {
        this.#grant = await this.#grantFor(candidate, signal);
        this.#candidate = candidate;
        this.#isTaken = false;
        return true;
      } catch (error) {
        if (!['unauthenticated', 'permission-denied'].includes(codeOf(error)) || !this.#wallet.reject(candidate))
          throw error;
      }
    }
  }

  async #grantFor(candidate: Candidate | undefined, signal: AbortSignal): Promise<Grant> {
    const { credentials } = candidate ?? { credentials: { kind: 'none' } as const };
    const host = this.#host;
    const until = Number.POSITIVE_INFINITY;
    if (credentials.kind === 'bearer') return { header: `Bearer ${credentials.token}`, until };
    const challenge = this.#challenges.find(({ scheme }) => scheme === 'bearer');
    if (challenge !== undefined)
      return fetchToken(this.#sender, { challenge, host, scopes: this.#scopes, credentials, signal });
    if (!this.#challenges.some(({ scheme }) => scheme === 'basic'))
      throw new BerthError('unauthenticated', `${host} answers 401 and asks for neither Basic nor Bearer`);
    if (credentials.kind === 'password')
      return { header: basicHeader(credentials.username, credentials.password), until };
    throw new BerthError('unauthenticated', `${host} answers 401: ${this.#wallet.lack}`);
  }
}
