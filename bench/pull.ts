import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { bigName, type Compression, crowdNames, writeBigImages } from './big-image.ts';
import { floor } from './floor.ts';
import { median } from './samples.ts';
import { ms, ratio, table } from './table.ts';
import type { PullSide, Target } from './target.ts';

/** What one pull has taken, of the endpoint's own processes. */
interface Taken {
  /** Milliseconds. */
  readonly wall: number;
  /** Seconds. */
  readonly cpu: number;
  /** Bytes, the highest of the daemon. */
  readonly peak: number;
  /** Milliseconds that the slowest of the calls in between waited for its answer. */
  readonly slowest: number;
  /** Layers that the registry gave. */
  readonly fetched: number;
}

const timeoutMs = 300_000;
/** Seldom enough to cost nothing beside the pull. */
const probeEveryMs = 25;

/** Asks for the version again and again: what makes it wait makes every call wait. */
const probe = async ({ client }: Target, signal: AbortSignal): Promise<number> => {
  let slowest = 0;
  while (!signal.aborted) {
    const started = performance.now();
    await client.Version({});
    slowest = Math.max(slowest, performance.now() - started);
    await sleep(probeEveryMs);
  }
  return slowest;
};

const taken = async (target: Target, side: PullSide, images: readonly string[]): Promise<Taken> => {
  const { client } = target;
  const stop = new AbortController();
  // Who syncs what it has pulled would pay for what others have written before.
  await promisify(execFile)('sync');
  await side.forgetPeak();
  const [cpu, fetched] = [await side.cpu(), await side.fetched()];
  const slowest = probe(target, stop.signal);
  const started = performance.now();
  await Promise.all(images.map((image) => client.PullImage({ image: { image } }, { timeoutMs })));
  const wall = performance.now() - started;
  stop.abort();
  return {
    wall,
    cpu: (await side.cpu()) - cpu,
    peak: await side.peak(),
    slowest: await slowest,
    fetched: (await side.fetched()) - fetched,
  };
};

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
const seconds = (value: number): string => `${value.toFixed(2)} s`;

type Row = readonly [name: string, all: readonly Partial<Taken>[]];

const middle = (all: readonly Partial<Taken>[], key: keyof Taken): number =>
  median(all.map((one) => one[key]).filter((value) => value !== undefined));

const print = (title: string, rows: readonly Row[]): void => {
  const own = rows[0]?.[1] ?? [];
  const cells = rows.map(([name, all]) => [
    name,
    seconds(middle(all, 'wall') / 1000),
    seconds(middle(all, 'cpu')),
    ...(['peak', 'slowest', 'fetched'] as const).map((key) => (all[0]?.[key] === undefined ? '' : shown(all, key))),
    ratio(middle(own, 'wall'), middle(all, 'wall')),
    ratio(middle(own, 'cpu'), middle(all, 'cpu')),
  ]);
  console.log(`\n${title}\n`);
  console.log(table(['', 'wall', 'CPU', 'peak RSS', 'slowest call', 'fetched', 'wall', 'CPU'], cells));
};

const shown = (all: readonly Partial<Taken>[], key: 'peak' | 'slowest' | 'fetched'): string => {
  const value = middle(all, key);
  return { peak: megabytes, slowest: ms, fetched: megabytes }[key](value);
};

const able = (targets: readonly Target[]) =>
  targets.flatMap((target) => (target.pulls === undefined ? [] : [{ target, side: target.pulls }]));

/** In turns, so that what else the machine does meets all of them. */
const measure = async (
  targets: readonly Target[],
  images: (round: number) => readonly string[],
  rounds: number,
): Promise<Row[]> => {
  const rows = able(targets).map((one) => ({ ...one, all: [] as Taken[] }));
  for (let round = 0; round < rounds; round += 1)
    for (const { target, side, all } of rows) all.push(await taken(target, side, images(round)));
  return rows.map(({ target, all }): Row => [target.name, all]);
};

/** The big image from a registry on this machine, gzip and zstd, then ten images that share layers. */
export const pulls = async (targets: readonly Target[], rounds: number): Promise<void> => {
  const storage = await mkdtemp(join(tmpdir(), 'bench-registry-'));
  try {
    await writeBigImages(storage, rounds);
    for (const { side } of able(targets)) await side.serve(storage);
    await measureAll(targets, rounds);
  } finally {
    await rm(storage, { recursive: true });
  }
};

const measureAll = async (targets: readonly Target[], rounds: number): Promise<void> => {
  for (const compression of ['gzip', 'zstd'] as const) {
    const rows = await measure(targets, (round) => [bigName(compression, round)], rounds);
    const title = `Pull of five layers, 30,000 files, ${compression}, ${rounds} rounds in turns: medians`;
    print(title, [...rows, await floorRow(targets, compression, rounds)]);
  }
  print(
    `Ten images at once, 13 layers, three of them shared by all, ${rounds} rounds in turns`,
    await measure(targets, crowdNames, rounds),
  );
};

const floorRow = async (targets: readonly Target[], compression: Compression, rounds: number): Promise<Row> => {
  const side = able(targets)[0]?.side;
  if (side === undefined) throw new Error('nothing to pull from');
  const all: Partial<Taken>[] = [];
  for (let round = 0; round < rounds; round += 1) all.push(await floor(side, bigName(compression, round)));
  return [compression === 'gzip' ? 'curl | igzip | tar' : 'curl | zstd | tar', all];
};
