import { randomBytes } from 'node:crypto';
import { statfs } from 'node:fs/promises';
import test from 'ava';
import { sha256 } from '../base/digest.ts';
import { artifact } from './harness/artifact.ts';
import { TestDaemon } from './harness/daemon.ts';
import { architecture, image, layer, writeLayout, writeRegistry } from './harness/image.ts';
import { names, registryHost } from './harness/images.ts';
import { idle, runPod } from './harness/pods.ts';
import { startRegistry } from './harness/registry.ts';
import { wrongImages } from './harness/scenarios.ts';
import { fails, removePods } from './harness/suite.ts';
import { type TarEntry, tar } from './harness/tar.ts';

const large = `${registryHost}/berth/large:1`;
const middle = `${registryHost}/berth/middle:1`;
const other = `${registryHost}/berth/other:1`;
const small = `${registryHost}/berth/small:1`;
const thing = `${registryHost}/berth/thing:1`;
const manyFiles = `${registryHost}/berth/many-files:1`;
const noise = (kib: number) => layer([{ name: 'noise', data: randomBytes(kib << 10) }]);
const madeOf = (kib: number, ...names: readonly string[]) =>
  layer(
    names.map((name) =>
      name.endsWith('/') ? { name, type: 'directory', mode: 0o700 } : { name, data: randomBytes(kib << 10) },
    ),
  );
const files = layer(Array.from({ length: 3000 }, (_, at) => ({ name: `file${at}` })));
const images = new Map([
  [large, image([noise(1 << 10), noise(9 << 10), noise(20 << 10)], {})],
  [middle, image([noise(8 << 10)], {})],
  [other, image([noise(8 << 10)], {})],
  // The layer above leaves out its directory's entry: it gets a fix-up layer.
  [small, image([madeOf(100, 'd/', 'd/below'), madeOf(100, 'd/above')], {})],
  [thing, artifact([{ data: randomBytes(30 << 20), title: 'file' }])],
  [manyFiles, image([files], {})],
]);

/** What `docker save` writes, with the manifest at the end. */
const archiveOf = (mib: number): Buffer => {
  const blob = tar([{ name: 'noise', data: randomBytes(mib << 20) }]);
  const rootfs = { type: 'layers', diff_ids: [sha256(blob)] };
  const config = JSON.stringify({ architecture, os: 'linux', rootfs });
  const manifest = JSON.stringify([{ Config: 'config.json', RepoTags: ['noise:1'], Layers: ['layer.tar'] }]);
  const archived = { 'layer.tar': blob, 'config.json': config, 'manifest.json': manifest };
  return tar(Object.entries(archived).map(([name, data]): TarEntry => ({ name, data })));
};

const load = async (daemon: TestDaemon, archive: Buffer, piece = 1 << 20): Promise<void> => {
  const requests = async function* () {
    for (let at = 0; at < archive.length; at += piece) yield { data: archive.subarray(at, at + piece) };
  };
  for await (const _ of daemon.client.Load(requests()));
};

const save = async (daemon: TestDaemon, name: string): Promise<Buffer> => {
  const chunks: Buffer[] = [];
  for await (const { data } of daemon.client.Save({ images: [name] })) chunks.push(Buffer.from(data));
  return Buffer.concat(chunks);
};

const asIs = (reason: unknown): unknown => reason;
const isFull = /[Nn]o space left|ENOSPC/;
const block = 4096;

/** Each with 24 MiB and about 2000 inodes. */
const fileSystems = {
  tmpfs: (root: string) => `mount -t tmpfs -o size=24m,nr_inodes=2000,mode=700 tmpfs ${root}`,
  ext4: (root: string, disk: string) =>
    `truncate -s 32M ${disk} && mkfs.ext4 -q -N 2000 -m 0 ${disk} && mount -o loop ${disk} ${root} && chmod 700 ${root}`,
};

for (const [kind, mount] of Object.entries(fileSystems)) {
  let daemon: TestDaemon;
  const pull = (name: string) => daemon.client.PullImage({ image: { image: name } });
  const remove = (name: string) => daemon.client.RemoveImage({ image: { image: name } });
  const root = (...parts: string[]): string => daemon.world.path('root', ...parts);
  const content = async () => {
    await daemon.deleteGarbage();
    return daemon.world.sh(`find ${root('images')} -type f | sort`);
  };
  // Without a process in between: what is free at once.
  const free = async (): Promise<number> => {
    const { bavail, bsize } = await statfs(daemon.world.seen(root()));
    return bavail * bsize;
  };
  /** Leaves so many bytes. */
  const fill = async (left: number): Promise<void> => {
    const blocks = Math.floor(((await free()) - left) / block);
    await daemon.world.sh(`dd if=/dev/zero of=${root('filler')} bs=${block} count=${blocks} 2>/dev/null || true`);
  };
  const empty = () => daemon.world.sh(`rm -f ${root('filler')}; sync -f ${root()}`);

  test.before(`${kind}: a root directory of its own`, async () => {
    daemon = await TestDaemon.prepare();
    const { world } = daemon;
    await writeRegistry(world.path('storage'), images);
    await writeLayout(world.path('layout'), images);
    await world.sh(`mkdir -m 700 ${root()} && ${mount(root(), world.path('disk'))}`);
    await daemon.boot();
    await startRegistry(world, { storage: world.path('storage') });
  });
  test.afterEach.always(() => empty());
  test.after.always(async () => {
    await daemon?.[Symbol.asyncDispose]();
  });

  for (const [what, name] of [
    ['a disk that is full fails the pull', large],
    ['a disk that is full fails the pull of an artifact', thing],
    ['an inode table that is full fails the pull', manyFiles],
  ] as const)
    test.serial(`${kind}: ${what}, leaves nothing, and a smaller image still fits`, async (t) => {
      const before = await content();
      for (let round = 0; round < 2; round += 1) {
        await fails(t, pull(name), 'resource-exhausted', isFull);
        t.is(await content(), before);
      }
      const { image_ref } = await pull(small);
      t.regex(image_ref, /^sha256:/);
      await remove(small);
      t.is(await content(), before);
    });

  test.serial(
    `${kind}: a disk that gets full at any block of a pull, an import or a streamed load leaves the store whole, and the next one works`,
    async (t) => {
      await daemon.deleteGarbage();
      const before = await free();
      await pull(small);
      const needed = before - (await free());
      const archive = await save(daemon, small);
      await remove(small);
      const clean = await content();
      const ways = [
        () => pull(small),
        () => daemon.client.Import({ path: daemon.world.path('layout'), name: small }),
        () => load(daemon, archive, 10_000),
      ];
      // The last blocks are those of records; before them come blobs and layers.
      const blocks = kind === 'ext4' ? [0, 1, 3, 6, 12] : [0, 1, 6];
      const amounts = blocks.map((count) => needed - count * block).concat(needed / 2);
      const tries = amounts.flatMap((amount, at) =>
        (kind === 'ext4' ? [at] : [at, at + 1]).map((way) => ({ amount, way: way % ways.length })),
      );
      const failed = ways.map(() => 0);
      for (const { amount, way } of tries) {
        await fill(Math.max(0, amount));
        const get = ways[way]?.() ?? Promise.resolve();
        const error = await get.then(
          () => undefined,
          (reason: unknown) => reason,
        );
        if (error !== undefined) {
          failed[way] = (failed[way] ?? 0) + 1;
          await fails(t, Promise.reject(error), 'resource-exhausted', isFull);
        }
        await empty();
        t.deepEqual(await wrongImages(daemon), [], `${amount} of ${needed} bytes`);
        await pull(small);
        await remove(small);
        t.is(await content(), clean);
      }
      t.true(
        failed.every((count) => count >= 1),
        `${failed} of ${tries.length} failed`,
      );
    },
  );

  test.serial(
    `${kind}: a disk that is full fails a load while it is sent or unpacked, leaves nothing, and a smaller one still fits`,
    async (t) => {
      const before = await content();
      for (const mib of [30, 15]) {
        await fails(t, load(daemon, archiveOf(mib)), 'resource-exhausted', isFull);
        t.is(await content(), before);
      }
      await load(daemon, archiveOf(2));
      await remove('noise:1');
      t.is(await content(), before);
    },
  );

  test.serial(
    `${kind}: on a full disk a name is given whole or not, an image is removed, and what it took is free when the call returns`,
    async (t) => {
      await pull(middle);
      await fill(0);
      // Of an ext4 that is full a few blocks are left.
      const given: string[] = [middle];
      for (let error: unknown; error === undefined && given.length < 100; ) {
        const target = `given.example/middle:${given.length}`;
        error = await daemon.client.Tag({ source: middle, target }).then(() => void given.push(target), asIs);
        if (error !== undefined) await fails(t, Promise.reject(error), 'resource-exhausted', isFull);
        if (error !== undefined) t.regex(String(error), /tag \S+middle\S* as given\.example\/middle:\d+: /);
      }
      t.true(given.length < 100);
      const { image } = await daemon.client.ImageStatus({ image: { image: middle } });
      t.deepEqual(image?.repo_tags.toSorted(), given.toSorted());
      await remove(middle);
      t.true((await free()) >= 16 << 20);
      t.deepEqual(await wrongImages(daemon), []);
    },
  );

  test.serial(`${kind}: what waits to be deleted does not make the disk full for the next pull`, async (t) => {
    for (const name of [middle, other, middle, other]) {
      await pull(name);
      await remove(name);
    }
    t.pass();
  });

  test.serial(`${kind}: a container is not made on a full disk, and is when there is room again`, async (t) => {
    await daemon.import([names.busybox]);
    const pod = await runPod(daemon);
    await fill(0);
    await fails(t, pod.create(idle), 'resource-exhausted', isFull);
    await empty();
    await pod.run(idle);
    await removePods(daemon);
    await remove(names.busybox);
    t.deepEqual(await wrongImages(daemon), []);
  });
}
