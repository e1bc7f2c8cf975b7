import { join } from 'node:path';
import { buildTree } from '../critest/harness/tree.ts';
import { until } from '../critest/harness/until.ts';
import { bigName, crowdNames, farName, farRegistry } from './big-image.ts';
import { ownPulls, type PullSide, type PullTarget } from './pull-side.ts';
import { table } from './table.ts';

const timeoutMs = 300_000;
const seconds = (ms: number): string => `${(ms / 1000).toFixed(2)} s`;
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;

const pull = async ({ client, world }: PullSide, image: string): Promise<number> => {
  await world.sh('sync');
  const started = performance.now();
  await client.PullImage({ image: { image } }, { timeoutMs });
  return performance.now() - started;
};

/** What the daemon holds after one pull after another. */
export const growth = async (targets: readonly PullTarget[], storage: string): Promise<void> => {
  const images = [bigName('gzip', 0), bigName('zstd', 0), bigName('gzip', 1), ...crowdNames(0).slice(0, 3)];
  const rows: string[][] = [];
  for (const target of targets) {
    await using stack = new AsyncDisposableStack();
    const side = await target.start(storage, stack);
    const found = [(await side.memory()).now];
    for (const image of images) {
      await pull(side, image);
      found.push((await side.memory()).now);
    }
    rows.push([target.name, ...found.map(megabytes), megabytes((await side.memory()).peak)]);
  }
  console.log(`\nRSS of the daemon before and after each of ${images.length} pulls, and its peak\n`);
  console.log(table(['', 'start', ...images.map((_, i) => `${i + 1}`), 'peak'], rows));
};

/** A pull that begins right behind the removal of an image as large, and the removal to its caller. */
export const besideRemoval = async (targets: readonly PullTarget[], storage: string): Promise<void> => {
  const rows: string[][] = [];
  for (const target of targets) {
    await using stack = new AsyncDisposableStack();
    const side = await target.start(storage, stack);
    const alone = await pull(side, bigName('gzip', 0));
    const started = performance.now();
    await side.client.RemoveImage({ image: { image: bigName('gzip', 0) } }, { timeoutMs });
    const removal = performance.now() - started;
    rows.push([target.name, seconds(alone), seconds(removal), seconds(await pull(side, bigName('gzip', 1)))]);
  }
  console.log('\nA pull right behind the removal of an image of 30,000 files\n');
  console.log(table(['', 'pull before', 'removal', 'pull behind it'], rows));
};

const rate = 10 << 20;

/** One layer of 122 MB from a registry that gives each connection so much and no more. */
export const ranges = async (storage: string): Promise<void> => {
  const rows: string[][] = [];
  for (const connections of [1, 4]) {
    await using stack = new AsyncDisposableStack();
    const side = await ownPulls.start(storage, stack, { range_connections: connections });
    const [port, behind] = [farRegistry, bigName('gzip', 0)].map((name) => /:(\d+)/.exec(name)?.[1] ?? '');
    side.world.spawn(process.execPath, [join(buildTree, 'bench/slow-way.js'), `${port}`, `${behind}`, `${rate}`], {
      stdio: 'ignore',
    });
    const listens = async (): Promise<boolean> =>
      (await side.world.run('curl', [`http://${farRegistry}/v2/`])).status === 0;
    await until('the slow way is open', listens);
    rows.push([`${connections}`, seconds(await pull(side, farName(0)))]);
  }
  console.log(`\nOne layer of 122 MB, each connection gives ${megabytes(rate)} a second\n`);
  console.log(table(['connections', 'pull'], rows));
};
