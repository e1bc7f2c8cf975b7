import { randomBytes } from 'node:crypto';
import test from 'ava';
import { sha256 } from '../base/digest.ts';
import { TestDaemon } from './harness/daemon.ts';
import { architecture, image, layer, writeRegistry } from './harness/image.ts';
import { registryHost } from './harness/images.ts';
import { startRegistry } from './harness/registry.ts';
import { fails } from './harness/suite.ts';
import { type TarEntry, tar } from './harness/tar.ts';

const large = `${registryHost}/berth/large:1`;
const small = `${registryHost}/berth/small:1`;
const manyFiles = `${registryHost}/berth/many-files:1`;
const noise = (mib: number) => layer([{ name: 'noise', data: randomBytes(mib << 20) }]);
const files = layer(Array.from({ length: 3000 }, (_, at) => ({ name: `file${at}` })));

let daemon: TestDaemon;
const pull = (name: string) => daemon.client.PullImage({ image: { image: name } });
const content = async () => {
  await daemon.deleteGarbage();
  return daemon.world.sh(`find ${daemon.world.path('root/images')} -type f | sort`);
};

test.before('a root directory of 24 MiB and 2000 inodes', async () => {
  daemon = await TestDaemon.prepare({ network: 'none' });
  const { world } = daemon;
  const images = new Map([
    [large, image([noise(1), noise(9), noise(20)], {})],
    [small, image([noise(1)], {})],
    [manyFiles, image([files], {})],
  ]);
  await writeRegistry(world.path('storage'), images);
  await world.sh(`mkdir -m 700 ${world.path('root')}`);
  await world.sh(`mount -t tmpfs -o size=24m,nr_inodes=2000,mode=700 tmpfs ${world.path('root')}`);
  await daemon.boot();
  await startRegistry(world, { storage: world.path('storage') });
});

test.after.always(async () => {
  await daemon?.[Symbol.asyncDispose]();
});

for (const [what, name] of [
  ['disk', large],
  ['inode table', manyFiles],
] as const)
  test(`a ${what} that is full fails the pull, leaves nothing, and a smaller image still fits`, async (t) => {
    const before = await content();
    for (let round = 0; round < 3; round += 1) {
      await fails(t, pull(name), 'resource-exhausted', /[Nn]o space left|ENOSPC/);
      t.is(await content(), before);
    }
    const { image_ref } = await pull(small);
    t.regex(image_ref, /^sha256:/);
    await daemon.client.RemoveImage({ image: { image: small } });
    t.is(await content(), before);
  });

/** What `docker save` writes, with the manifest at the end. */
const archiveOf = (mib: number): Buffer => {
  const blob = tar([{ name: 'noise', data: randomBytes(mib << 20) }]);
  const rootfs = { type: 'layers', diff_ids: [sha256(blob)] };
  const config = JSON.stringify({ architecture, os: 'linux', rootfs });
  const manifest = JSON.stringify([{ Config: 'config.json', RepoTags: ['noise:1'], Layers: ['layer.tar'] }]);
  const files = { 'layer.tar': blob, 'config.json': config, 'manifest.json': manifest };
  return tar(Object.entries(files).map(([name, data]): TarEntry => ({ name, data })));
};

const load = async (archive: Buffer): Promise<void> => {
  const requests = async function* () {
    for (let at = 0; at < archive.length; at += 1 << 20) yield { data: archive.subarray(at, at + (1 << 20)) };
  };
  for await (const _ of daemon.client.Load(requests()));
};

test('a disk that is full fails a load while it is sent or unpacked, leaves nothing, and a smaller one still fits', async (t) => {
  const before = await content();
  for (const mib of [30, 15]) {
    await fails(t, load(archiveOf(mib)), 'resource-exhausted', /[Nn]o space left|ENOSPC/);
    t.is(await content(), before);
  }
  await load(archiveOf(2));
  await daemon.client.RemoveImage({ image: { image: 'noise:1' } });
  t.is(await content(), before);
});
