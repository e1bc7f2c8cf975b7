/**
 * ADD, DEL and CHECK of different sandboxes run side by side; GC runs alone (spec, "Lifecycle & Ordering").
 * GC waits for a moment when nothing runs and holds up nobody while it waits: one slow ADD would stop every pod.
 */
export class Gate {
  #inside = 0;
  #alone = false;
  readonly #shared: (() => void)[] = [];
  readonly #exclusive: (() => void)[] = [];

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
    for (const go of this.#shared.splice(0)) this.#enter(go);
    if (this.#inside > 0) return;
    const go = this.#exclusive.shift();
    if (go === undefined) return;
    this.#alone = true;
    this.#enter(go);
  }

  #enter(go: () => void): void {
    this.#inside += 1;
    go();
  }
}
