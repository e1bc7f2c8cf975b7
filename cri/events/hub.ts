import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Encoded } from '../../api/encoded.ts';
import { BerthError } from '../../base/errors.ts';

/** So many events may wait for a subscriber that does not read; they are shared by all who wait for them. */
const mostWaiting = 4096;

/** So many subscribers are served in one turn of the event loop: each costs some tens of microseconds. */
const mostInTurn = 32;

/** Passes each event on to everybody who listens at that moment, in order. A slow listener holds nobody up. */
export class EventHub {
  readonly #listeners = new Set<Listener>();
  /** They have something to take, and do not know it yet. */
  readonly #asleep = new Set<Listener>();
  #isWaking = false;

  get listeners(): number {
    return this.#listeners.size;
  }

  /** `encode` runs once, and not at all while nobody listens. */
  publish(encode: () => Encoded): void {
    if (this.#listeners.size === 0) return;
    const event = encode();
    for (const listener of this.#listeners) {
      listener.put(event);
      this.#asleep.add(listener);
    }
    if (!this.#isWaking) void this.#wake();
  }

  /** A few at once, at first without waiting: between them other calls come. */
  async #wake(): Promise<void> {
    this.#isWaking = true;
    let inTurn = 0;
    for (const listener of this.#asleep) {
      this.#asleep.delete(listener);
      listener.wake();
      inTurn = (inTurn + 1) % mostInTurn;
      if (inTurn === 0) await nextTurn();
    }
    this.#isWaking = false;
  }

  /**
   * The events from the first `next` on, until `signal` aborts, whose reason it throws. Errors: resource-exhausted for a listener that fell too far
   * behind; it has missed some then, and has to list.
   */
  async *listen(signal: AbortSignal): AsyncGenerator<Encoded> {
    const listener = new Listener();
    const end = (): void => listener.wake();
    this.#listeners.add(listener);
    signal.addEventListener('abort', end, { once: true });
    try {
      for (;;) {
        signal.throwIfAborted();
        yield* listener.take();
        if (!signal.aborted) await listener.more();
      }
    } finally {
      this.#listeners.delete(listener);
      this.#asleep.delete(listener);
      signal.removeEventListener('abort', end);
    }
  }
}

class Listener {
  #waiting: Encoded[] = [];
  #isBehind = false;
  #awake = Promise.withResolvers<void>();

  put(event: Encoded): void {
    if (this.#waiting.length >= mostWaiting) this.#fallBehind();
    if (!this.#isBehind) this.#waiting.push(event);
  }

  #fallBehind(): void {
    this.#isBehind = true;
    this.#waiting = [];
  }

  wake(): void {
    this.#awake.resolve();
  }

  take(): readonly Encoded[] {
    if (this.#isBehind)
      throw new BerthError(
        'resource-exhausted',
        `GetContainerEvents: more than ${mostWaiting} events were not read in time: subscribe again and list what there is`,
      );
    const taken = this.#waiting;
    this.#waiting = [];
    this.#awake = Promise.withResolvers<void>();
    return taken;
  }

  /** Resolves when there is something to take. */
  more(): Promise<void> {
    return this.#waiting.length > 0 || this.#isBehind ? Promise.resolve() : this.#awake.promise;
  }
}
