/** Calls `expire` once when nothing was touched for so long. */
export class Idle implements Disposable {
  readonly #milliseconds: number;
  readonly #expire: () => void;
  #last = performance.now();
  #timer: NodeJS.Timeout | undefined;

  /** 0: never. */
  constructor(milliseconds: number, expire: () => void) {
    this.#milliseconds = milliseconds;
    this.#expire = expire;
    if (milliseconds > 0) this.#arm(milliseconds);
  }

  /** Cheap enough for every piece of data: the timer looks back when it fires. */
  touch(): void {
    this.#last = performance.now();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #arm(milliseconds: number): void {
    this.#timer = setTimeout(() => this.#check(), milliseconds);
  }

  #check(): void {
    const left = this.#milliseconds - (performance.now() - this.#last);
    if (left <= 0) this.#expire();
    else this.#arm(left);
  }
}
