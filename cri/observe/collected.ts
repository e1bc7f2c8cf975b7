import { Counter, Gauge, type Registry } from 'prom-client';

/** The labels' values in the order of their names. */
export type Sample = readonly [labels: readonly string[], value: number];

export interface Read {
  /** A counter when it ends in `_total`, else a gauge. */
  readonly name: string;
  readonly help: string;
  readonly labels: readonly string[];
  readonly read: () => readonly Sample[] | Promise<readonly Sample[]>;
}

export const one = (value: number): readonly Sample[] => [[[], value]];

/** A metric that is looked up when somebody scrapes; nothing of it is kept in between. */
export const addRead = (registry: Registry, { name, help, labels, read }: Read): void => {
  const Kind = name.endsWith('_total') ? Counter : Gauge;
  new Kind({
    name,
    help,
    labelNames: labels,
    registers: [registry],
    async collect() {
      const samples = await read();
      this.reset();
      for (const [values, value] of samples) this.labels(...values).inc(value);
    },
  });
};
