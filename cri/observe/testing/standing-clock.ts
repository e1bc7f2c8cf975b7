/** A clock of whole milliseconds that stands still but for what the test lets pass: the machine may stop this process for any time. */
export class StandingClock implements Disposable {
  readonly #own = performance.now;
  #now = Math.round(performance.now());

  constructor() {
    performance.now = () => this.#now;
  }

  pass(ms: number): void {
    this.#now += ms;
  }

  [Symbol.dispose](): void {
    performance.now = this.#own;
  }
}
