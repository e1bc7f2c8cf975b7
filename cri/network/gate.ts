/** So long one who comes waits behind `aloneSoon` at most. */
const defaultHoldMs = 10_000;

/**
 * ADD, DEL and CHECK of different sandboxes run side by side; GC runs alone (spec, "Lifecycle & Ordering").
 * GC waits for a moment when nothing runs and holds up nobody while it waits: one slow ADD would stop every pod.
 */
export class Gate {
  readonly #holdMs: number;
  /** How many `aloneSoon` wait. */
  #holding = 0;
  #inside = 0;
  #alone = false;
  readonly #shared: (() => void)[] = [];
  readonly #exclusive: (() => void)[] = [];

  constructor(holdMs = defaultHoldMs) {
    this.#holdMs = holdMs;
  }

  async shared<T>(action: () => Promise<T>): Promise<T> {
    await new Promise<void>((go) => {
      this.#shared.push(go);
      this.#admit();
    });
    return this.#leave(action);
  }

  async alone<T>(action: () => Promise<T>): Promise<T> {
    await new Promise<void>((go) => {
      this.#exclusive.push(go);
      this.#admit();
    });
    return this.#leave(action);
  }

  /**
   * As `alone`, and before those, for what a caller waits for: on a busy node there may never be a moment when nothing runs. Who
   * comes now waits behind it, but not for as long as one slow ADD takes: every `holdMs` those that have come are let in. Who has
   * gone keeps no place: rejects with the signal's reason while it waits, and never afterwards.
   */
  async aloneSoon<T>(action: () => Promise<T>, signal: AbortSignal): Promise<T> {
    const timer = setInterval(() => this.#admitShared(), this.#holdMs);
    this.#holding += 1;
    try {
      await this.#turnAlone(signal);
    } finally {
      this.#holding -= 1;
      clearInterval(timer);
      // those who waited behind one that has gone
      this.#admit();
    }
    return this.#leave(action);
  }

  #turnAlone(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const go = (): void => {
      signal.removeEventListener('abort', leave);
      resolve();
    };
    const leave = (): void => {
      this.#exclusive.splice(this.#exclusive.indexOf(go), 1);
      reject(signal.reason);
    };
    signal.addEventListener('abort', leave, { once: true });
    this.#exclusive.unshift(go);
    this.#admit();
    return promise;
  }

  async #leave<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action();
    } finally {
      this.#inside -= 1;
      this.#alone = false;
      this.#admit();
    }
  }

  #admit(): void {
    if (this.#alone) return;
    if (this.#holding === 0) this.#admitShared();
    if (this.#inside > 0) return;
    const go = this.#exclusive.shift();
    if (go === undefined) return;
    this.#alone = true;
    this.#enter(go);
  }

  #admitShared(): void {
    if (!this.#alone) for (const go of this.#shared.splice(0)) this.#enter(go);
  }

  #enter(go: () => void): void {
    this.#inside += 1;
    go();
  }
}
