import { setImmediate as nextTurn } from 'node:timers/promises';
import { messageLimit } from '../../api/calls.ts';
import type { Frame, Sink } from '../../api/feed.ts';
import { BerthError } from '../../base/errors.ts';

/** So many events may wait for a subscriber that does not read; they are shared by all who wait for them. */
const mostWaiting = 4096;

/** So many subscribers are served in one turn of the event loop: each costs some microseconds. */
const mostInTurn = 4;

/** Passes each event on to everybody who listens at that moment, in order. A slow listener holds nobody up. */
export class EventHub {
  /** In the order in which they came, which is that of being served: kubelet is there before those who look. */
  readonly #listeners = new Set<Listener>();
  /** Those that have something to take, each once. */
  #due: Listener[] = [];
  #isServing = false;

  get listeners(): number {
    return this.#listeners.size;
  }

  /** `make` runs once, and not at all while nobody listens. */
  publish(make: () => Frame): void {
    if (this.#listeners.size === 0) return;
    const event = make();
    let served = 0;
    for (const listener of this.#listeners) {
      if (!listener.put(event)) continue;
      if (served < mostInTurn) listener.pass();
      else this.#due.push(listener);
      served += 1;
    }
    if (!this.#isServing) void this.#serve();
  }

  /** A few in a turn: between them other calls come. */
  async #serve(): Promise<void> {
    this.#isServing = true;
    while (this.#due.length > 0) {
      await nextTurn();
      for (const listener of this.#due.splice(0, mostInTurn)) listener.pass();
    }
    this.#isServing = false;
  }

  /**
   * Writes the events from now on to `sink`, until `signal` aborts, whose reason it throws. Errors: resource-exhausted for a
   * listener that fell too far behind; it has missed some then, and has to list.
   */
  async listen(sink: Sink, signal: AbortSignal): Promise<void> {
    const listener = new Listener(sink);
    const end = (): void => listener.end(signal.reason);
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
    this.#listeners.add(listener);
    try {
      await listener.ended;
    } finally {
      this.#listeners.delete(listener);
      signal.removeEventListener('abort', end);
    }
  }
}

class Listener {
  readonly #sink: Sink;
  readonly #ended = Promise.withResolvers<void>();
  #waiting: Frame[] = [];
  #isDue = false;
  #isFull = false;
  #hasEnded = false;

  constructor(sink: Sink) {
    this.#sink = sink;
    sink.onDrain(() => {
      this.#isFull = false;
      this.pass();
    });
  }

  /** Rejects when it has. */
  get ended(): Promise<void> {
    return this.#ended.promise;
  }

  /** True: it has to be passed on, and was not to be before. */
  put(event: Frame): boolean {
    if (this.#hasEnded) return false;
    this.#waiting.push(event);
    if (this.#waiting.length > mostWaiting)
      this.#fail(`more than ${mostWaiting} events were not read in time: subscribe again and list what there is`);
    if (event.length > messageLimit)
      this.#fail(`an event has ${event.length} bytes, the limit is ${messageLimit}: list what there is`);
    const wasDue = this.#isDue;
    this.#isDue = true;
    return !wasDue;
  }

  /** As much as the client takes. */
  pass(): void {
    this.#isDue = false;
    while (!this.#isFull) {
      const event = this.#waiting.shift();
      if (event === undefined) return;
      this.#isFull = !this.#sink.write(event);
    }
  }

  #fail(why: string): void {
    this.end(new BerthError('resource-exhausted', `GetContainerEvents: ${why}`));
  }

  end(reason: unknown): void {
    this.#hasEnded = true;
    this.#waiting = [];
    this.#ended.reject(reason);
  }
}
