import test from 'ava';
import type { DiskShare, FilesystemUsage } from '../api/generated/types.ts';
import { TestDaemon } from './harness/daemon.ts';
import { names } from './harness/images.ts';
import { idle, runPod } from './harness/pods.ts';
import { removePods } from './harness/suite.ts';
import { until } from './harness/until.ts';

const MiB = 1 << 20;
let daemon: TestDaemon;

test.before('images and containers on a tmpfs each', async () => {
  daemon = await TestDaemon.prepare();
  const { world } = daemon;
  for (const name of ['images', 'containers'])
    await world.sh(`mkdir -p -m 700 ${world.path('root', name)} && chmod 700 ${world.path('root')} &&
      mount -t tmpfs -o size=200m,mode=700 tmpfs ${world.path('root', name)}`);
  await daemon.boot();
  await daemon.import([names.busybox, names.layered, names.volume]);
});

test.afterEach.always(() => removePods(daemon));
test.after.always(() => daemon?.[Symbol.asyncDispose]());

/** Bytes and inodes as du counts them. */
const counted = async (path: string): Promise<{ readonly bytes: number; readonly inodes: number }> => {
  const text = await daemon.world.sh(`du -s --block-size=1 ${path}; du -s --inodes ${path}`);
  const [bytes = 0, inodes = 0] = text.split('\n').map((line) => Number(line.split('\t')[0]));
  return { bytes, inodes };
};

/** A record, a directory and a file beside each layer are taken for a block each, whatever the file system makes of them. */
const isNear = (
  told: FilesystemUsage | undefined,
  real: { readonly bytes: number; readonly inodes: number },
): boolean =>
  Math.abs(Number(told?.used_bytes?.value) - real.bytes) < 256 << 10 &&
  Math.abs(Number(told?.inodes_used?.value) - real.inodes) < 16;

const told = async () => {
  const { image_filesystems, container_filesystems } = await daemon.client.ImageFsInfo({});
  return { images: image_filesystems[0], containers: container_filesystems[0] };
};

const write = `dd if=/dev/zero of=/written bs=1M count=5 && dd if=/dev/zero of=/data/kept bs=1M count=3`;

test.serial(
  'images and containers on file systems of their own are told apart, each with what du counts on it',
  async (t) => {
    const { world } = daemon;
    const pod = await runPod(daemon);
    const container = await pod.run(idle, { image: { image: names.volume } });
    t.is((await container.exec(write)).code, 0);
    const isSeen = async (): Promise<boolean> =>
      isNear((await told()).containers, await counted(world.path('root/containers')));
    await until('the walk in the background has seen it', isSeen, 90);
    const { images, containers } = await told();
    t.is(images?.fs_id?.mountpoint, world.path('root/images'));
    t.is(containers?.fs_id?.mountpoint, world.path('root/containers'));
    t.true((containers?.used_bytes?.value ?? 0n) >= 8n * BigInt(MiB));
    t.true((containers?.timestamp ?? 0n) <= (images?.timestamp ?? 0n));
    const real = await counted(world.path('root/images'));
    t.true(
      isNear(images, real),
      JSON.stringify({ images, real }, (_, value) => (typeof value === 'bigint' ? `${value}` : value)),
    );
  },
);

const shareOf = (shares: readonly DiskShare[], kind: DiskShare['kind']): DiskShare | undefined =>
  shares.find((share) => share.kind === kind);

test.serial('what a removed image took is free when RemoveImage answers, however much else is free', async (t) => {
  const before = await told();
  await daemon.client.RemoveImage({ image: { image: names.layered } });
  const { shares } = await daemon.client.DiskUsage({});
  t.is(shareOf(shares, 'GARBAGE')?.bytes ?? 0n, 0n);
  const after = await told();
  t.true((after.images?.inodes_used?.value ?? 0n) < (before.images?.inodes_used?.value ?? 0n));
  t.true(isNear(after.images, await counted(daemon.world.path('root/images'))));
});

test.serial(
  'A11: berth system df tells each use of the disk with its owner, and all of them are what du counts',
  async (t) => {
    const { world, client } = daemon;
    const pod = await runPod(daemon);
    const container = await pod.run(`${write}; echo logged; sleep 4242`, { image: { image: names.volume } });
    await until('it has written', async () => (await container.text('stdout')).includes('logged'));
    const { shares, images, containers, file_systems } = await client.DiskUsage({});
    const sum = (kinds: readonly DiskShare['kind'][]) =>
      kinds.reduce((total, kind) => total + Number(shareOf(shares, kind)?.bytes ?? 0n), 0);
    const real = await counted(world.path('root/images'));
    t.true(Math.abs(sum(['SHARED_LAYERS', 'UNIQUE_LAYERS', 'BLOBS', 'PARTIAL', 'GARBAGE']) - real.bytes) < 512 << 10);
    const [row] = containers;
    t.like(row, { id: container.id, pod: pod.config.metadata?.name ?? '', volume_bytes: 3n * BigInt(MiB) });
    t.true((row?.writable_bytes ?? 0n) >= 5n * BigInt(MiB) && (row?.log_bytes ?? 0n) > 0n);
    // busybox and the one with a volume have the same layer.
    const own = images.find(({ names: all }) => all.includes(names.volume));
    t.deepEqual(own?.containers, [container.id]);
    t.true((own?.shared_bytes ?? 0n) > (own?.unique_bytes ?? 0n));
    t.is(shareOf(shares, 'SHARED_LAYERS')?.count, 1n);
    t.deepEqual(
      file_systems.map(({ uses, capacity_bytes }) => [uses, capacity_bytes]),
      [
        [['images'], 200n * BigInt(MiB)],
        [['containers'], 200n * BigInt(MiB)],
      ],
    );
  },
);

const pruned = async (request: { readonly dry_run?: boolean; readonly older_than_seconds?: bigint }) => {
  const all = [];
  for await (const event of daemon.client.Prune(request)) all.push(event);
  return {
    names: all.flatMap(({ image }) => image?.names ?? []).filter((name) => !name.includes('@')),
    last: all.at(-1),
  };
};

test.serial(
  'prune takes images that no container uses, a dry run and a young age take none, and what it tells is free',
  async (t) => {
    const { world, client } = daemon;
    await daemon.import([names.layered, names.linkedProc]);
    const pod = await runPod(daemon);
    await pod.create(idle, { image: { image: names.busybox } });
    t.deepEqual((await pruned({ dry_run: true })).names.toSorted(), [names.layered, names.linkedProc, names.volume]);
    t.deepEqual((await pruned({ older_than_seconds: 3600n })).names, []);
    t.is((await client.ListImages({})).images.length, 4);
    const before = await counted(world.path('root/images'));
    const { names: gone, last } = await pruned({});
    t.is(gone.length, 3);
    t.true(last?.done);
    const after = await counted(world.path('root/images'));
    t.is(last?.freed_bytes, last?.total_bytes);
    t.true(Math.abs(before.bytes - after.bytes - Number(last?.freed_bytes)) < 256 << 10);
    t.deepEqual(
      (await client.ListImages({})).images.map(({ repo_tags }) => repo_tags),
      [[names.busybox]],
    );
  },
);
