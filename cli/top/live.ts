import { setTimeout as sleep } from 'node:timers/promises';
import type { Context } from '../context.ts';
import { inWords } from '../failure.ts';
import { plain } from '../format.ts';
import type { Layout } from './columns.ts';
import { keysOf } from './keys.ts';
import { bodyHeight, render } from './render.ts';
import { arranged, type PodRows, rowsOf } from './rows.ts';
import { type Sample, takeSample } from './sample.ts';
import { Screen } from './screen.ts';
import { pressed, type State, within } from './state.ts';

export interface Wish {
  readonly state: State;
  readonly intervalMs: number;
  readonly layout: Omit<Layout, 'view'>;
}

/** Shows what runs until a person quits or a signal ends it. */
export const live = async (context: Context, wish: Wish): Promise<void> => {
  const quit = new AbortController();
  const signal = AbortSignal.any([context.signal, quit.signal]);
  using screen = new Screen(context.terminal);
  const view = new LiveView(context, wish, screen);
  using _keys = view.listen(() => quit.abort());
  screen.enter();
  view.draw();
  while (!signal.aborted) {
    await view.look(signal);
    await sleep(wish.intervalMs, undefined, { signal }).catch(() => undefined);
  }
};

class LiveView {
  readonly #context: Context;
  readonly #wish: Wish;
  readonly #screen: Screen;
  #state: State;
  #sample: Sample | undefined;
  #pods: readonly PodRows[] = [];
  #notice = 'looking …';

  constructor(context: Context, wish: Wish, screen: Screen) {
    this.#context = context;
    this.#wish = wish;
    this.#screen = screen;
    this.#state = wish.state;
  }

  /** The figures anew; the old ones stay on the screen while nobody answers. */
  async look(signal: AbortSignal): Promise<void> {
    try {
      const sample = await takeSample(this.#context.client, { signal });
      this.#pods = rowsOf(sample, this.#sample);
      this.#sample = sample;
      this.#notice = '';
    } catch (error) {
      if (signal.aborted) return;
      this.#notice = `no figures, trying again: ${plain(inWords(error, this.#context.address))}`;
    }
    this.draw();
  }

  draw(): void {
    const size = this.#context.terminal.size();
    if (size === undefined) return;
    const { intervalMs, layout } = this.#wish;
    this.#state = within(this.#state, this.#extent());
    const clock = new Date().toTimeString().slice(0, 8);
    const [pods, state, notice] = [this.#pods, this.#state, this.#notice];
    this.#screen.draw(render({ pods, state, size, layout, clock, intervalMs, notice }));
  }

  #extent() {
    const size = this.#context.terminal.size() ?? { columns: 80, rows: 24 };
    return { count: arranged(this.#pods, this.#state).length, height: bodyHeight(size) };
  }

  /** Keys, sizes, and signals that would leave the terminal as it is now. */
  listen(quit: () => void): Disposable {
    const { stdin } = this.#context.terminal;
    const typed = (data: Buffer | string): void => {
      for (const key of keysOf(data.toString())) this.#press(key, quit);
    };
    // The shell has had the terminal meanwhile, whoever stopped us.
    const goOn = (): void => {
      this.#screen.leave();
      this.#screen.enter();
      this.draw();
    };
    const forget = this.#context.terminal.onResize(() => this.draw());
    stdin.on('data', typed).on('end', quit).on('error', quit);
    process.on('SIGCONT', goOn).on('SIGHUP', quit).on('SIGQUIT', quit);
    return {
      [Symbol.dispose]: () => {
        forget();
        stdin.off('data', typed).off('end', quit).off('error', quit).pause();
        process.off('SIGCONT', goOn).off('SIGHUP', quit).off('SIGQUIT', quit);
      },
    };
  }

  #press(key: string, quit: () => void): void {
    if (key === 'quit') quit();
    else if (key === 'suspend') this.#suspend();
    else {
      this.#state = pressed(this.#state, key, this.#extent());
      this.draw();
    }
  }

  #suspend(): void {
    this.#screen.leave();
    process.kill(process.pid, 'SIGSTOP');
  }
}
