import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { bigName, type Compression, crowdNames, wideName, writeBigImages } from './big-image.ts';
import { floor } from './floor.ts';
import { besideRemoval, growth, ranges } from './pull-more.ts';
import type { PullSide, PullTarget } from './pull-side.ts';
import { median } from './samples.ts';
import { ms, ratio, table } from './table.ts';

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
  /** Milliseconds that the daemon's event loop was late, by its own word. */
  readonly loop99?: number | undefined;
  readonly loopMost?: number | undefined;
  /** Layers that the registry gave. */
  readonly fetched: number;
}

const timeoutMs = 300_000;
/** Seldom enough to cost nothing beside the pull. */
const probeEveryMs = 25;

/** Asks for the version again and again: what makes it wait makes every call wait. */
const probe = async ({ client }: PullSide, signal: AbortSignal): Promise<number> => {
  let slowest = 0;
  while (!signal.aborted) {
    const started = performance.now();
    await client.Version({});
    slowest = Math.max(slowest, performance.now() - started);
    await sleep(probeEveryMs);
  }
  return slowest;
};

const taken = async (side: PullSide, images: readonly string[]): Promise<Taken> => {
  const { client } = side;
  const stop = new AbortController();
  // Who syncs what it has pulled would pay for what others have written before.
  await side.world.sh('sync');
  await side.forgetPeak();
  await side.loop?.();
  const [cpu, fetched] = [await side.cpu(), await side.fetched()];
  const slowest = probe(side, stop.signal);
  const started = performance.now();
  await Promise.all(images.map((image) => client.PullImage({ image: { image } }, { timeoutMs })));
  const wall = performance.now() - started;
  stop.abort();
  const loop = await side.loop?.();
  return {
    wall,
    cpu: (await side.cpu()) - cpu,
    peak: (await side.memory()).peak,
    slowest: await slowest,
    loop99: loop?.get('99'),
    loopMost: loop?.get('100'),
    fetched: (await side.fetched()) - fetched,
  };
};

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
const seconds = (value: number): string => `${value.toFixed(2)} s`;

type Row = readonly [name: string, all: readonly Partial<Taken>[]];

const middle = (all: readonly Partial<Taken>[], key: keyof Taken): number =>
  median(all.map((one) => one[key]).filter((value) => value !== undefined));

const keys = ['peak', 'slowest', 'loop99', 'loopMost', 'fetched'] as const;
type Key = (typeof keys)[number];

const print = (title: string, rows: readonly Row[]): void => {
  const own = rows[0]?.[1] ?? [];
  const cells = rows.map(([name, all]) => [
    name,
    seconds(middle(all, 'wall') / 1000),
    seconds(middle(all, 'cpu')),
    ...keys.map((key) => (all[0]?.[key] === undefined ? '' : shown(all, key))),
    ratio(middle(own, 'wall'), middle(all, 'wall')),
    ratio(middle(own, 'cpu'), middle(all, 'cpu')),
  ]);
  console.log(`\n${title}\n`);
  const head = ['', 'wall', 'CPU', 'peak RSS', 'slowest call', 'loop p99', 'most', 'fetched', 'wall', 'CPU'];
  console.log(table(head, cells));
};

const shown = (all: readonly Partial<Taken>[], key: Key): string => {
  const value = middle(all, key);
  return { peak: megabytes, slowest: ms, loop99: ms, loopMost: ms, fetched: megabytes }[key](value);
};

/** In turns, so that what else the machine does meets all of them; each turn is a daemon and a disk that are new. */
const measure = async (
  targets: readonly PullTarget[],
  storage: string,
  images: (round: number) => readonly string[],
  rounds: number,
): Promise<Row[]> => {
  const rows = targets.map((target) => ({ target, all: [] as Taken[] }));
  for (let round = 0; round < rounds; round += 1)
    for (const { target, all } of rows) {
      await using stack = new AsyncDisposableStack();
      all.push(await taken(await target.start(storage, stack), images(round)));
    }
  return rows.map(({ target, all }): Row => [target.name, all]);
};

/** The big image from a registry on this machine, gzip and zstd, one of eight layers, then ten images that share layers. */
export const pulls = async (targets: readonly PullTarget[], rounds: number): Promise<void> => {
  const storage = await mkdtemp(join(tmpdir(), 'bench-registry-'));
  try {
    await writeBigImages(storage, 2);
    await measureAll(targets, storage, rounds);
  } finally {
    await rm(storage, { recursive: true });
  }
};

const measureAll = async (targets: readonly PullTarget[], storage: string, rounds: number): Promise<void> => {
  console.log(
    '\nEach turn: a daemon of its own and a new ext4 with a journal on a loop device (direct I/O), for all alike.',
  );
  for (const compression of ['gzip', 'zstd'] as const) {
    const rows = await measure(targets, storage, () => [bigName(compression, 0)], rounds);
    const title = `Pull of five layers, 30,000 files, ${compression}, ${rounds} rounds in turns: medians`;
    print(title, [...rows, await floorRow(targets, storage, compression, rounds)]);
  }
  const wide = await measure(targets, storage, () => [wideName(0)], rounds);
  print(`Pull of eight layers, gzip, ${rounds} rounds in turns`, wide);
  const crowd = await measure(targets, storage, () => crowdNames(0), rounds);
  print(`Ten images at once, 13 layers, three of them shared by all, ${rounds} rounds in turns`, crowd);
  await growth(targets, storage);
  await besideRemoval(targets, storage);
  await ranges(storage);
};

const floorRow = async (
  [target]: readonly PullTarget[],
  storage: string,
  compression: Compression,
  rounds: number,
): Promise<Row> => {
  const all: Partial<Taken>[] = [];
  for (let round = 0; target !== undefined && round < rounds; round += 1) {
    await using stack = new AsyncDisposableStack();
    all.push(await floor(await target.start(storage, stack), bigName(compression, 0)));
  }
  return [compression === 'gzip' ? 'curl | igzip | tar' : 'curl | zstd | tar', all];
};
