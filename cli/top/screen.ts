import type { Terminal } from '../stream/terminal.ts';

/** The alternate screen, so that the one before comes back as it was; the cursor hidden. */
const enter = '\u001b[?1049h\u001b[?25l\u001b[H\u001b[2J';
const leave = '\u001b[?25h\u001b[?1049l';

const toEnd = '\u001b[K';
const below = '\u001b[J';

/**
 * The whole terminal, until it is disposed of: then it is as it was. It is also when the process ends in another way that
 * Node knows (process.exit, an exception that nobody catches).
 */
export class Screen implements Disposable {
  readonly #terminal: Terminal;
  readonly #restore = (): void => this.leave();
  #entered = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    process.on('exit', this.#restore);
  }

  enter(): void {
    if (this.#entered) return;
    this.#entered = true;
    this.#terminal.setRaw(true);
    this.#terminal.stdout.write(enter);
  }

  leave(): void {
    if (!this.#entered) return;
    this.#entered = false;
    this.#terminal.setRaw(false);
    this.#terminal.stdout.write(leave);
  }

  /** A terminal that does not take what was drawn before gets the next one: an old frame helps nobody. */
  draw(lines: readonly string[]): void {
    const { stdout } = this.#terminal;
    if (!this.#entered || stdout.writableNeedDrain) return;
    stdout.write(`\u001b[H${lines.map((line) => line + toEnd).join('\r\n')}${below}`);
  }

  [Symbol.dispose](): void {
    this.leave();
    process.off('exit', this.#restore);
  }
}
