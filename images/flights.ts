import { BerthError } from '../base/errors.ts';

interface Flight<T, E> {
  readonly done: Promise<T>;
  readonly abort: AbortController;
  readonly listeners: Set<(event: E) => void>;
  readonly who: string | undefined;
  passengers: number;
  last: E | undefined;
}

/** What a flight is given: its own signal, and where it tells its progress. */
export interface Cockpit<E> {
  readonly signal: AbortSignal;
  readonly report: (event: E) => void;
}

/**
 * One flight a key, joined by everyone who needs it (lesson A14). A caller's abort ends its own wait; the flight itself
 * is aborted when the last caller has gone, and that caller waits until everything is undone.
 */
export class SharedFlights<T, E> {
  readonly #flights = new Map<string, Flight<T, E>>();

  /**
   * Runs `action` unless a flight of this key is under way; `listener` hears of the progress of either. `who`: callers with the
   * same would do the same, so that a failure is told to all of them at once; others try for themselves.
   */
  async join(
    key: string,
    signal: AbortSignal,
    listener: (event: E) => void,
    action: (cockpit: Cockpit<E>) => Promise<T>,
    who?: string,
  ): Promise<T> {
    for (;;) {
      if (signal.aborted) throw cancelled(signal);
      const running = this.#flights.get(key);
      if (running === undefined) return this.#board(this.#begin(key, action, who), signal, listener);
      if (running.passengers === 0) {
        // It is being undone: its key is free when that is finished.
        await running.done.catch(() => undefined);
        continue;
      }
      try {
        return await this.#board(running, signal, listener);
      } catch (error) {
        // The other's credentials or registry may have been at fault; the next round is this caller's own, or joins
        // one that began after that failure.
        if (signal.aborted || running.abort.signal.aborted) throw error;
        if (who !== undefined && running.who === who) throw error;
      }
    }
  }

  #begin(key: string, action: (cockpit: Cockpit<E>) => Promise<T>, who: string | undefined): Flight<T, E> {
    const abort = new AbortController();
    const listeners = new Set<(event: E) => void>();
    const report = (event: E): void => {
      flight.last = event;
      for (const listener of listeners) listener(event);
    };
    const done = Promise.resolve()
      .then(() => action({ signal: abort.signal, report }))
      .finally(() => this.#flights.delete(key));
    const flight: Flight<T, E> = { done, abort, listeners, who, passengers: 0, last: undefined };
    this.#flights.set(key, flight);
    return flight;
  }

  /** The last to leave stays until the flight has been undone. */
  async #board(flight: Flight<T, E>, signal: AbortSignal, listener: (event: E) => void): Promise<T> {
    const gone = Promise.withResolvers<never>();
    const leave = (): void => {
      flight.passengers -= 1;
      if (flight.passengers === 0) flight.abort.abort(signal.reason);
      else gone.reject(cancelled(signal));
    };
    flight.passengers += 1;
    if (flight.last !== undefined) listener(flight.last);
    flight.listeners.add(listener);
    signal.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([flight.done, gone.promise]);
    } finally {
      signal.removeEventListener('abort', leave);
      flight.listeners.delete(listener);
    }
  }
}

export const cancelled = (signal: AbortSignal): BerthError =>
  signal.reason instanceof BerthError
    ? signal.reason
    : new BerthError('cancelled', 'the caller has gone', { cause: signal.reason });
