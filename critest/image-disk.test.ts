import { randomBytes } from 'node:crypto';
import test from 'ava';
import { TestDaemon } from './harness/daemon.ts';
import { image, layer, writeRegistry } from './harness/image.ts';
import { registryHost } from './harness/images.ts';
import { startRegistry } from './harness/registry.ts';
import { fails } from './harness/suite.ts';

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
