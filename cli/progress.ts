import type { PullProgress, PushProgress } from '../api/generated/types.ts';
import type { Output } from './context.ts';
import { shortId, size } from './format.ts';

type Phase = PullProgress['phase'] | PushProgress['phase'];

/** Where a blob stands. */
export interface Standing {
  readonly digest: string;
  readonly offset: bigint;
  readonly total: bigint;
  readonly phase: Phase;
}

const words: Readonly<Record<Phase, string>> = {
  RESOLVING: 'looking up',
  WAITING: 'waiting',
  DOWNLOADING: 'downloading',
  UNPACKING: 'unpacking',
  DONE: 'done',
  PRESENT: 'is here already',
  PUSH_WAITING: 'waiting',
  PUSH_UPLOADING: 'sending',
  PUSH_DONE: 'sent',
  PUSH_PRESENT: 'is there already',
  PUSH_MOUNTED: 'taken over',
};
const waiting: readonly Phase[] = ['WAITING', 'PUSH_WAITING'];
const ended: readonly Phase[] = ['DONE', 'PRESENT', 'PUSH_DONE', 'PUSH_PRESENT', 'PUSH_MOUNTED'];

const drawMs = 80;
const barWidth = 30;

/** Bars, one a layer, on a terminal; elsewhere a line for each change of phase. */
export class Progress {
  readonly #out: Output;
  readonly #layers = new Map<string, Standing>();
  #drawn = 0;
  #last = 0;

  constructor(out: Output) {
    this.#out = out;
  }

  show(event: Standing): void {
    if (event.digest === '') return;
    const before = this.#layers.get(event.digest);
    this.#layers.set(event.digest, event);
    if (!this.#out.tty) this.#line(event, before);
    else if (Date.now() - this.#last >= drawMs) this.#draw();
  }

  /** Draws the last state; nothing is drawn over it any more. */
  end(): void {
    if (this.#out.tty) this.#draw();
    this.#drawn = 0;
  }

  #line(event: Standing, before: Standing | undefined): void {
    if (before?.phase === event.phase || waiting.includes(event.phase)) return;
    const total = event.total > 0n ? ` (${size(event.total)})` : '';
    this.#out.write(`${shortId(event.digest)}: ${words[event.phase]}${total}\n`);
  }

  #draw(): void {
    const up = this.#drawn > 0 ? `\u001b[${this.#drawn}A` : '';
    const lines = [...this.#layers.values()].map((event) => `\u001b[2K${bar(event, this.#out.columns)}\n`);
    this.#out.write(up + lines.join(''));
    this.#drawn = lines.length;
    this.#last = Date.now();
  }
}

/** `0123456789ab  downloading  [=======>      ]  12.0 MiB / 30.1 MiB`, cut to the terminal's width. */
export const bar = (event: Standing, columns: number): string => {
  const head = `${shortId(event.digest)}  ${words[event.phase].padEnd(15)}`;
  const done = ended.includes(event.phase);
  const share = done ? 1 : event.total === 0n ? 0 : Math.min(1, Number(event.offset) / Number(event.total));
  const filled = Math.round(share * barWidth);
  const tip = filled > 0 && filled < barWidth ? '>' : '';
  const drawn = `[${('='.repeat(Math.max(0, filled - tip.length)) + tip).padEnd(barWidth)}]`;
  const amount = event.total === 0n ? '' : done ? size(event.total) : `${size(event.offset)} / ${size(event.total)}`;
  return `${head} ${drawn}  ${amount}`.slice(0, Math.max(20, columns - 1));
};
