import { setTimeout as sleep } from 'node:timers/promises';
import type { BerthError } from '../../base/errors.ts';

/** Failures that another try may mend, with the wait in ms that the server asked for (0: none). */
const waits = new WeakMap<object, number>();

export const temporary = (error: BerthError, waitMs = 0): BerthError => {
  waits.set(error, waitMs);
  return error;
};

/** Failures of a host that cannot be reached, stalls, or answers 5xx or 429: it says nothing of the image. */
const outages = new WeakSet<object>();

export const outage = (error: BerthError): BerthError => {
  outages.add(error);
  return error;
};

export const isOutage = (error: unknown): boolean => typeof error === 'object' && error !== null && outages.has(error);

/** The wait in ms that a server asked for, 0 for none. */
export const waitOf = (error: BerthError): number => waits.get(error) ?? 0;

export const canRetry = (error: unknown): error is BerthError =>
  typeof error === 'object' && error !== null && waits.has(error);

export interface RetryPolicy {
  readonly tries: number;
  /** The first pause; each further one is three times as long, and jittered. */
  readonly pauseMs: number;
  /** A server that asks for a longer pause is not waited for. */
  readonly longestMs: number;
}

export const retryPolicy: RetryPolicy = { tries: 4, pauseMs: 200, longestMs: 30_000 };

/** Waits before try number `attempt + 1`; throws the error when it is final. */
export const pauseAfter = async (
  error: unknown,
  attempt: number,
  policy: RetryPolicy,
  signal: AbortSignal,
): Promise<void> => {
  if (!canRetry(error) || attempt >= policy.tries) throw error;
  const asked = waits.get(error) ?? 0;
  if (asked > policy.longestMs) throw error;
  // Jitter, so that the nodes of a cluster do not come back all at once.
  const own = policy.pauseMs * 3 ** (attempt - 1) * (0.5 + Math.random());
  await sleep(Math.max(asked, own), undefined, { signal });
};

export const retrying = async <T>(action: () => Promise<T>, policy: RetryPolicy, signal: AbortSignal): Promise<T> => {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await action();
    } catch (error) {
      await pauseAfter(error, attempt, policy, signal);
    }
  }
};

/** Retry-After in seconds or as a date, in ms from `now`; 0 when it is missing or malformed. */
export const parseRetryAfter = (value: string | undefined, now: number): number => {
  if (value === undefined) return 0;
  if (/^\d{1,9}$/.test(value.trim())) return Number(value.trim()) * 1000;
  const date = /^[A-Z][a-z]{2}, .* GMT$/.test(value) ? Date.parse(value) : Number.NaN;
  return Number.isNaN(date) ? 0 : Math.max(0, date - now);
};
