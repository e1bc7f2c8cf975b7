/** Shows each step with its time, and stops before the next one when told to end. */
export class Steps {
  readonly #write: (text: string) => void;
  readonly #signal: AbortSignal;

  constructor(write: (text: string) => void, signal: AbortSignal) {
    this.#write = write;
    this.#signal = signal;
  }

  /** Runs `action`; `note` makes a word or two of its result for the end of the line. */
  async run<T>(name: string, action: () => Promise<T>, note: (result: T) => string = () => ''): Promise<T> {
    if (this.#signal.aborted) throw new Error('told to end');
    const started = performance.now();
    const result = await action();
    this.#line(name, performance.now() - started, note(result));
    return result;
  }

  say(text: string): void {
    this.#write(`${text}\n`);
  }

  #line(name: string, milliseconds: number, note: string): void {
    const time = milliseconds < 10 ? milliseconds.toFixed(1) : String(Math.round(milliseconds));
    this.#write(`${`  ${name.padEnd(46)} ${time.padStart(6)} ms   ${note}`.trimEnd()}\n`);
  }
}
