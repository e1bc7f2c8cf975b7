import { machineCpu } from './cpu.ts';

/** Wall and CPU milliseconds of one kind of call. */
export class Samples {
  readonly #wall: number[] = [];
  readonly #cpu: number[] = [];

  /** Runs `action` and takes its time. */
  async take<T>(action: () => Promise<T>): Promise<T> {
    const cpu = await machineCpu();
    const started = performance.now();
    const result = await action();
    this.#wall.push(performance.now() - started);
    this.#cpu.push(((await machineCpu()) - cpu) / 1e6);
    return result;
  }

  get count(): number {
    return this.#wall.length;
  }

  get wall(): number {
    return median(this.#wall);
  }

  get worst(): number {
    return quantile(this.#wall, 0.99);
  }

  get cpu(): number {
    return median(this.#cpu);
  }
}

export const quantile = (values: readonly number[], part: number): number => {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN;
};

export const median = (values: readonly number[]): number => quantile(values, 0.5);
