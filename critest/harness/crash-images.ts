import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { messageOf } from '../../base/errors.ts';
import { randomFrom } from './crash-at-random.ts';
import type { TestDaemon } from './daemon.ts';
import { image, layer, writeLayout, writeRegistry } from './image.ts';
import { registryHost } from './images.ts';
import type { TestRegistry } from './own-registry.ts';
import { startRegistry } from './registry.ts';
import { wrongImages } from './scenarios.ts';
import type { TarEntry } from './tar.ts';

/** Images come and go in every way that there is, all at once, until the signal; gives the errors that came before it. */
const churn = async (
  daemon: TestDaemon,
  random: () => number,
  ways: readonly Way[],
  end: AbortSignal,
): Promise<string[]> => {
  const errors: string[] = [];
  const live = async (): Promise<void> => {
    while (!end.aborted) {
      const way = ways[Math.floor(random() * ways.length)];
      await way?.(daemon).catch((error: unknown) => {
        if (!end.aborted) errors.push(messageOf(error));
      });
    }
  };
  await Promise.all([live(), live(), live()]);
  return errors;
};

type Way = (daemon: TestDaemon) => Promise<unknown>;

// Small, so that many are made between two kills; each has the first layer, and one more has a fix-up layer.
const files = (prefix: string): TarEntry[] =>
  Array.from({ length: 60 }, (_, at) => ({ name: `d/${prefix}${at}`, data: `${prefix} ${at} `.repeat(at * 20) }));
const base = layer([{ name: 'd/', type: 'directory', mode: 0o1777 }, ...files('base')]);
const images = new Map(
  ['one', 'two', 'three'].map((name) => [`${registryHost}/churn/${name}:1`, image([base, layer(files(name))], {})]),
);
const churned = [...images.keys()];

/** Brings the images to the daemon's world: a layout, an archive of each in both forms, and Debian's registry where asked. */
export const bringImages = async (daemon: TestDaemon, withRegistry: boolean): Promise<void> => {
  const { world } = daemon;
  await writeLayout(world.path('churn'), images);
  await writeArchives(daemon);
  if (!withRegistry) return;
  await writeRegistry(world.path('storage'), images);
  await startRegistry(world, { storage: world.path('storage') });
};

/** For a machine without Debian's. */
export const fillRegistry = (registry: TestRegistry): void => {
  for (const [name, made] of images) {
    const [, repository = '', tag = ''] = /^[^/]+\/(.+):(\d+)$/.exec(name) ?? [];
    registry.add(tag, made, repository);
  }
};

const formats = ['FORMAT_OCI', 'FORMAT_DOCKER'] as const;
const archives = new Map<string, Buffer>();

const writeArchives = async (daemon: TestDaemon): Promise<void> => {
  for (const name of churned) {
    await importing(name)(daemon);
    for (const format of formats) {
      const parts: Uint8Array[] = [];
      for await (const { data } of daemon.client.Save({ images: [name], format })) parts.push(data);
      archives.set(`${format} ${name}`, Buffer.concat(parts));
    }
    await removing(name)(daemon);
  }
};

async function* inPieces(data: Buffer): AsyncGenerator<{ data: Buffer }> {
  for (let at = 0; at < data.length; at += 4000) yield { data: data.subarray(at, at + 4000) };
}

const loading =
  (archive: string): Way =>
  async (daemon) => {
    const data = archives.get(archive) ?? Buffer.alloc(0);
    for await (const _ of daemon.client.Load(inPieces(data)));
  };

const pruning =
  (garbage_only: boolean): Way =>
  async (daemon) => {
    for await (const _ of daemon.client.Prune({ garbage_only }));
  };

const importing =
  (name: string): Way =>
  (daemon) =>
    daemon.client.Import({ path: daemon.world.path('churn'), name });
const pulling =
  (name: string): Way =>
  (daemon) =>
    daemon.client.PullImage({ image: { image: name } });
const removing =
  (name: string): Way =>
  (daemon) =>
    daemon.client.RemoveImage({ image: { image: name } });

const waysOf = (pulls: boolean): readonly Way[] =>
  churned.flatMap((name) => [
    importing(name),
    ...formats.map((format) => loading(`${format} ${name}`)),
    ...(pulls ? [pulling(name)] : []),
  ]);

export interface ChurnOptions {
  /** From a registry as well. */
  readonly pulls: boolean;
  /** What was not written to the disk is read from there again: for a machine of one's own. */
  readonly dropsCaches?: boolean;
  /** So long the daemon lives at most each time. */
  readonly ms?: number;
}

/**
 * kill -9 of the daemon, every second time of the agent too, at random microseconds while images are imported, loaded
 * from archives, pulled, removed and pruned at once. After each restart all that is kept is compared with its digests and sums: no byte of an
 * image that is listed is wrong, and nothing is there that nobody knows.
 */
export const crashImages = async (
  t: ExecutionContext,
  daemon: TestDaemon,
  rounds: number,
  { pulls, dropsCaches = false, ms = 600 }: ChurnOptions,
): Promise<void> => {
  const seed = Date.now() % 100_000;
  t.log(`seed ${seed}`);
  const random = randomFrom(seed);
  // Few are removed, so that something is there to be found wrong.
  const ways = [...waysOf(pulls), ...churned.slice(0, 1).map(removing), pruning(true)];
  let listed = 0;
  // A machine that is busy with other things may have no image ready in all rounds: then there are more, and longer ones.
  for (let round = 0; round < rounds || (listed === 0 && round < 4 * rounds); round += 1) {
    const at = `round ${round} of seed ${seed}`;
    const end = new AbortController();
    const lives = churn(daemon, random, ways, end.signal);
    await sleep(50 + random() * ms * (round < rounds ? 1 : 5));
    const until = performance.now() + random();
    while (performance.now() < until);
    end.abort();
    const agents = random() < 0.5 ? await daemon.pidsOf('berth-agent') : [];
    await daemon.world.run('kill', ['-9', `${daemon.pid}`, ...agents.map(String)]);
    await daemon.ended();
    t.deepEqual(await lives, [], at);
    if (dropsCaches) await daemon.world.sh('echo 3 >/proc/sys/vm/drop_caches');
    await daemon.boot();
    t.deepEqual(await wrongImages(daemon), [], at);
    listed += (await daemon.client.ListImages({})).images.length;
  }
  t.log(`${rounds} kills, ${listed} images were listed after them and right`);
  t.true(listed > 0);
};

/** The same without a kill: no call fails, each image that is listed at the end is whole, and nothing else is kept. */
export const churnImages = async (t: ExecutionContext, daemon: TestDaemon, ms: number): Promise<void> => {
  const seed = Date.now() % 100_000;
  t.log(`seed ${seed}`);
  const end = new AbortController();
  const lives = churn(
    daemon,
    randomFrom(seed),
    [...waysOf(true), ...churned.map(removing), pruning(false)],
    end.signal,
  );
  await sleep(ms);
  t.deepEqual(await wrongImages(daemon), [], 'while they come and go');
  end.abort();
  t.deepEqual(await lives, []);
  t.deepEqual(await wrongImages(daemon), []);
  for (const name of churned) await daemon.client.RemoveImage({ image: { image: name } });
  await pruning(false)(daemon);
  t.is(
    await daemon.world.sh(
      `cd ${daemon.world.path('root/images')}; ls layers fixups blobs/sha256 names tmp | grep -v :`,
    ),
    '\n\n\n\n',
  );
};
