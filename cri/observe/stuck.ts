import { type Work, workInProgress } from '../../base/step.ts';
import type { Log } from '../log.ts';

const lookMs = 5000;

/**
 * How many times as long as others a step may take: what has a size, what ends when its user wants, what has a bound of its own, or
 * is done at leisure.
 */
const patience: Readonly<Record<string, number>> = {
  exec: Number.POSITIVE_INFINITY,
  forward: Number.POSITIVE_INFINITY,
  'measure tree': Number.POSITIVE_INFINITY,
  'delete garbage': Number.POSITIVE_INFINITY,
  'unpack layer': 60,
  'fix up layer': 10,
  'remove tree': 10,
  remove: 10,
  chcon: 10,
};

export interface StuckStep {
  readonly stage: string;
  readonly object: string;
  readonly seconds: number;
}

/** Steps that take longer than they should. Each is told once in the log, and once more when it has ended. */
export class StuckWork implements Disposable {
  readonly #log: Log;
  readonly #limitMs: number;
  readonly #told = new Set<Work>();
  readonly #stages = new Set<string>();
  readonly #timer: NodeJS.Timeout;

  constructor(log: Log, limitSeconds: number, everyMs = Math.min(lookMs, limitSeconds * 500)) {
    this.#log = log;
    this.#limitMs = limitSeconds * 1000;
    this.#timer = setInterval(() => this.#look(), everyMs).unref();
  }

  /** The steps that are stuck at this moment, the oldest first. */
  list(): readonly StuckStep[] {
    const now = performance.now();
    return [...workInProgress()].filter((work) => this.#isStuck(work, now)).map((work) => fieldsOf(work, now));
  }

  /** How many steps are stuck at this moment, by stage; 0 for a stage where none is any more. */
  counts(): ReadonlyMap<string, number> {
    const counts = new Map([...this.#stages].map((stage) => [stage, 0]));
    for (const { stage } of this.list()) counts.set(stage, (counts.get(stage) ?? 0) + 1);
    for (const stage of counts.keys()) this.#stages.add(stage);
    return counts;
  }

  #isStuck({ stage, since }: Work, now: number): boolean {
    return now - since >= this.#limitMs * (patience[stage] ?? 1);
  }

  #look(): void {
    const now = performance.now();
    const running = workInProgress();
    for (const work of running) if (!this.#told.has(work) && this.#isStuck(work, now)) this.#tell(work, now);
    for (const work of this.#told) if (!running.has(work)) this.#tellEnd(work, now);
  }

  #tell(work: Work, now: number): void {
    this.#told.add(work);
    this.#stages.add(work.stage);
    this.#log.warn(fieldsOf(work, now), `work is stuck: ${work.stage}`);
  }

  #tellEnd(work: Work, now: number): void {
    this.#told.delete(work);
    this.#log.info(fieldsOf(work, now), `work was stuck and has ended: ${work.stage}`);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

const fieldsOf = ({ stage, object, since }: Work, now: number): StuckStep => ({
  stage,
  object,
  seconds: Math.floor((now - since) / 1000),
});
