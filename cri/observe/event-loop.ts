import { monitorEventLoopDelay } from 'node:perf_hooks';

type IntervalHistogram = ReturnType<typeof monitorEventLoopDelay>;

/** The sampler wakes the process so often, so it runs only while somebody asks. */
const resolutionMs = 100;
/** Two collectors of one node must not take each other's maximum. */
const windowMs = 60_000;
/** Nobody has asked for so long: nobody will. */
const idleMs = 300_000;

export const percentiles = [50, 90, 99, 100] as const;

/** How late the event loop comes to its timers, from the first question on. */
export class EventLoopDelay implements Disposable {
  #histogram: IntervalHistogram | undefined;
  #since = 0;
  #timer: NodeJS.Timeout | undefined;

  /** Seconds of each of `percentiles` over the last one or two minutes; none at the first question. */
  read(): readonly (readonly [percentile: number, seconds: number])[] {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this[Symbol.dispose](), idleMs).unref();
    const histogram = this.#histogram ?? this.#start();
    if (histogram.count === 0) return [];
    const values = percentiles.map((percentile) => [percentile, secondsAt(histogram, percentile)] as const);
    if (performance.now() - this.#since >= windowMs) this.#reset(histogram);
    return values;
  }

  #start(): IntervalHistogram {
    const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
    histogram.enable();
    this.#histogram = histogram;
    this.#since = performance.now();
    return histogram;
  }

  #reset(histogram: IntervalHistogram): void {
    histogram.reset();
    this.#since = performance.now();
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#histogram?.disable();
    this.#histogram = undefined;
  }
}

/** Node counts the interval between two samples, which is the resolution where nothing is late. */
const secondsAt = (histogram: IntervalHistogram, percentile: number): number =>
  Math.max(0, histogram.percentile(percentile) / 1e9 - resolutionMs / 1000);
