import { once } from 'node:events';
import { join } from 'node:path';
import type { TestDaemon } from './daemon.ts';
import { sourceTree } from './tree.ts';
import { until } from './until.ts';

const command = join(sourceTree, 'bin/berth');

const esc = '\u001b';
const entered = `${esc}[?1049h`;
const left = `${esc}[?1049l`;

/** A shell with a command of `berth` in it that takes the whole screen: 20 lines of 90 columns that `script` makes. */
export class ScreenOf {
  readonly #daemon: TestDaemon;
  #bytes = '';
  readonly #child;
  readonly #ended: Promise<unknown[]>;

  constructor(daemon: TestDaemon, words: string) {
    this.#daemon = daemon;
    const { world, address } = daemon;
    const inner = `stty rows 20 cols 90; stty -a >${world.path('before')}; tty >${world.path('tty')};
      LANG=C.UTF-8 TERM=xterm sh -c 'echo $$ >${world.path('pid')}; exec ${command} --address ${address} ${words}';
      echo "ended $?"; stty -a >${world.path('after')}`;
    this.#child = world.spawn('script', ['-qec', inner, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#child.stdout?.on('data', (data) => {
      this.#bytes += data;
    });
    this.#ended = once(this.#child, 'close');
  }

  /** Whether it has taken the alternate screen. */
  get entered(): boolean {
    return this.#bytes.includes(entered);
  }

  /** The lines of the last whole frame, without colours. */
  get screen(): readonly string[] {
    const frame =
      this.#bytes
        .slice(0, this.#bytes.lastIndexOf(`${esc}[J`))
        .split(`${esc}[H`)
        .at(-1) ?? '';
    return frame.split('\r\n').map((line) => line.replaceAll(/[^\P{Cc}]\[[0-9;]*[mK]/gu, '').trimEnd());
  }

  type(keys: string): void {
    this.#child.stdin?.write(keys);
  }

  /** Waits until the screen has a line that fits, and gives the screen. */
  shows(line: RegExp): Promise<readonly string[]> {
    return until(`a line ${line} in\n${this.screen.join('\n')}`, () => {
      const { screen } = this;
      return Promise.resolve(screen.some((one) => line.test(one)) && screen);
    });
  }

  /** What is on the terminal when all has ended; the modes of before and after. */
  async end(): Promise<{ readonly said: string; readonly same: boolean }> {
    await this.#ended;
    const { world } = this.#daemon;
    const modes = await world.sh(`cmp ${world.path('before')} ${world.path('after')} && echo same`);
    await world.sh(`rm ${['before', 'after', 'tty', 'pid'].map((name) => world.path(name)).join(' ')}`);
    return { said: this.#bytes.slice(this.#bytes.lastIndexOf(left)), same: modes === 'same\n' };
  }
}
