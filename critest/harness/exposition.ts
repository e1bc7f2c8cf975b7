import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import type { TestDaemon } from './daemon.ts';

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** One GET of the daemon's own pages, by the socket that it has unless told otherwise. */
export const page = (daemon: TestDaemon, path: string, method = 'GET'): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const socketPath = daemon.world.seen(daemon.world.path('state/http.sock'));
    const asked = request({ socketPath, path, method, agent: false }, (response) => {
      const { statusCode: status = 0, headers } = response;
      text(response).then((body) => resolve({ status, type: headers['content-type'] ?? '', body }), reject);
    });
    asked.on('error', reject).end();
  });

export interface Family {
  readonly type: string;
  readonly help: string;
  /** By `name{label="value",…}`, labels in the order of their names. */
  readonly samples: Map<string, number>;
}

const line = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/;
const label = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/y;

/** Prometheus' text format, version 0.0.4, and no line that it does not allow. Throws what is wrong. */
export const parseExposition = (exposition: string): ReadonlyMap<string, Family> => {
  if (!exposition.endsWith('\n')) throw new Error('the last line has no end');
  const families = new Map<string, Family>();
  let current = '';
  for (const each of exposition.split('\n').filter(Boolean)) {
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.+)$/.exec(each) ?? [];
    if (kind === 'HELP') {
      if (families.has(name)) throw new Error(`${name} comes twice`);
      families.set(name, { type: '', help: rest, samples: new Map() });
      current = name;
    } else if (kind === 'TYPE') {
      const family = families.get(name);
      if (family === undefined || name !== current || family.samples.size > 0)
        throw new Error(`not its place: ${each}`);
      families.set(name, { ...family, type: rest });
    } else takeSample(each, current, families.get(current));
  }
  for (const [name, family] of families) checkFamily(name, family);
  return families;
};

const suffixes: Readonly<Record<string, readonly string[]>> = { histogram: ['_bucket', '_sum', '_count'] };

const takeSample = (text: string, name: string, family: Family | undefined): void => {
  const [, own = '', labels = '', value = ''] = line.exec(text) ?? [];
  const names = (suffixes[family?.type ?? ''] ?? ['']).map((suffix) => `${name}${suffix}`);
  if (family === undefined || !names.includes(own)) throw new Error(`no sample of ${name}: ${text}`);
  const key = `${own}{${labelsOf(labels).join()}}`;
  if (family.samples.has(key)) throw new Error(`twice: ${text}`);
  if (!/^(?:[-+]?\d.*|[-+]Inf|NaN)$/.test(value)) throw new Error(`no number: ${text}`);
  family.samples.set(key, Number(value.replace('Inf', 'Infinity')));
};

const labelsOf = (text: string): string[] => {
  const found: string[] = [];
  label.lastIndex = 0;
  for (let at = 0; at < text.length; at = label.lastIndex) {
    const match = label.exec(text);
    if (match === null) throw new Error(`no labels: ${text}`);
    found.push(`${match[1]}="${match[2]}"`);
  }
  return found.toSorted();
};

const checkFamily = (name: string, { type, help, samples }: Family): void => {
  if (!['counter', 'gauge', 'histogram'].includes(type) || help === '') throw new Error(`${name}: no type or no help`);
  if ([...samples.keys()].some((key) => /[{,]quantile="/.test(key)))
    throw new Error(`${name}: only a summary has quantiles`);
  if ((type === 'counter') !== name.endsWith('_total')) throw new Error(`${name}: is a ${type}`);
  if (type === 'counter' && ![...samples.values()].every((value) => value >= 0)) throw new Error(`${name}: below 0`);
  if (type === 'histogram') checkHistogram(name, samples);
};

/** Buckets grow with `le`, and the last one counts all. */
const checkHistogram = (name: string, samples: ReadonlyMap<string, number>): void => {
  const series = new Map<string, [number, number][]>();
  for (const [key, value] of samples) {
    const [, le] = /[{,]le="([^"]+)"/.exec(key) ?? [];
    if (le === undefined) continue;
    const rest = key.replace(/,?le="[^"]+"/, '').replace('{,', '{');
    series.set(rest, [...(series.get(rest) ?? []), [Number(le.replace('Inf', 'Infinity')), value]]);
  }
  for (const [key, buckets] of series) {
    const sorted = buckets.toSorted(([a], [b]) => a - b);
    const counts = sorted.map(([, count]) => count);
    const isGrowing = counts.every((count, at) => count >= (counts[at - 1] ?? 0));
    const whole = samples.get(key.replace('_bucket', '_count'));
    if (!isGrowing || sorted.at(-1)?.[0] !== Number.POSITIVE_INFINITY || counts.at(-1) !== whole)
      throw new Error(`${name}: the buckets of ${key} are not right`);
  }
};

/** What the daemon tells at this moment. */
export class Scrape {
  readonly families: ReadonlyMap<string, Family>;

  constructor(families: ReadonlyMap<string, Family>) {
    this.families = families;
  }

  static async of(daemon: TestDaemon): Promise<Scrape> {
    const { status, type, body } = await page(daemon, '/metrics');
    if (status !== 200 || !type.startsWith('text/plain; version=0.0.4')) throw new Error(`${status} ${type}: ${body}`);
    return new Scrape(parseExposition(body));
  }

  /** 0 where there is no such series. `labels`: `state="ready"`, in the order of their names. */
  value(name: string, labels = ''): number {
    const family = this.families.get(name.replace(/_(?:bucket|sum|count)$/, '')) ?? this.families.get(name);
    if (family === undefined) throw new Error(`there is no metric ${name}`);
    return family.samples.get(`${name}{${labels}}`) ?? 0;
  }

  /** The values by that of their only label. */
  byLabel(name: string): Readonly<Record<string, number>> {
    const samples = this.families.get(name)?.samples ?? new Map<string, number>();
    return Object.fromEntries([...samples].map(([key, value]) => [/="(.*)"/.exec(key)?.[1] ?? '', value]));
  }
}
