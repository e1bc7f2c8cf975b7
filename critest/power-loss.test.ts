import { readFile } from 'node:fs/promises';
import test from 'ava';
import { sha256 } from '../base/digest.ts';
import { TestDaemon } from './harness/daemon.ts';
import { type Image, image, layer, writeLayout } from './harness/image.ts';
import type { TarEntry } from './harness/tar.ts';
import { until } from './harness/until.ts';

/**
 * A root directory on an ext4 of its own. The ioctl EXT4_IOC_SHUTDOWN with NOLOGFLUSH is a power loss: what was not
 * synced by then is not there at the next mount; of a file that was only renamed there is its name, and no byte.
 */
const shutDown =
  'open my $f, "<", $ARGV[0] or die; my $how = pack("L", 2); ioctl($f, 0x8004587d, $how) or die "shutdown: $!"';

const start = async (): Promise<TestDaemon> => {
  const daemon = await TestDaemon.prepare({ network: 'none' });
  const { world } = daemon;
  const root = world.path('root');
  await world.sh(`truncate -s 96M ${world.path('disk')}; mkfs.ext4 -q ${world.path('disk')}; mkdir -m 700 ${root}`);
  await mount(daemon);
  await daemon.boot();
  return daemon;
};

const mount = ({ world }: TestDaemon): Promise<string> =>
  world.sh(`mount -o loop ${world.path('disk')} ${world.path('root')}; chmod 700 ${world.path('root')}`);

/** With the daemon, so that nothing is written behind it. */
const losePower = async (daemon: TestDaemon): Promise<void> => {
  const { world } = daemon;
  await world.sh(`perl -e '${shutDown}' ${world.path('root')}`);
  if (!(await daemon.isGone())) await daemon.kill();
  await world.sh(`umount ${world.path('root')}`);
  const isFree = async (): Promise<boolean> => (await world.sh(`losetup -j ${world.path('disk')}`)) === '';
  await until('the disk is let go', isFree);
  await mount(daemon);
};

// The upper layer lacks the entry for its parent, so a fix-up layer is made as well.
const files = (prefix: string): TarEntry[] =>
  Array.from({ length: 20 }, (_, at) => ({ name: `d/${prefix}${at}`, data: `${prefix} ${at} `.repeat(500) }));
const lower = layer([{ name: 'd/', type: 'directory', mode: 0o1777 }, ...files('lower')]);
const upper = layer(files('upper'));
const one = image([lower], {});
const two = image([lower, upper], {});

const importImage = async (daemon: TestDaemon, made: Image): Promise<unknown> => {
  const path = daemon.world.path('layout');
  await writeLayout(path, new Map([['example.org/app:1', made]]));
  return daemon.client.Import({ path });
};

const sums = (entries: readonly TarEntry[]): string[] =>
  entries.map(({ name, data = '' }) => `${sha256(data)} fs/${name}`);

/** Digest and name of each file in a layer or fix-up layer. */
const contentOf = async ({ world }: TestDaemon, kind: 'layers' | 'fixups', digest: string): Promise<string[]> => {
  const path = world.path('root/images', kind, digest.slice('sha256:'.length));
  const text = await world.sh(
    `cd ${path} && find fs -type f -exec sha256sum {} + | sed 's/^/sha256:/; s/  / /' | sort`,
  );
  return text.trim().split('\n');
};

/** Names of blobs whose bytes have another digest. */
const wrongBlobs = ({ world }: TestDaemon): Promise<string> =>
  world.sh(`cd ${world.path('root/images/blobs/sha256')} && sha256sum * | awk '$1 != $2'`);

test('A9: a power loss right after the answer takes no byte of an image, and no name', async (t) => {
  await using daemon = await start();
  await importImage(daemon, two);
  await losePower(daemon);
  t.deepEqual(await contentOf(daemon, 'layers', lower.diffId), sums(files('lower')).sort());
  t.deepEqual(await contentOf(daemon, 'layers', upper.diffId), sums(files('upper')).sort());
  t.is(await daemon.world.sh(`stat -c %a ${daemon.world.path('root/images/fixups')}/*/fs/d`), '1777\n');
  t.is(await wrongBlobs(daemon), '');
  await daemon.boot();
  t.deepEqual(
    (await daemon.client.ListImages({})).images.map(({ id }) => id),
    [two.id],
  );
});

test('A9: a power loss as soon as a layer has its name finds every byte of the layer', async (t) => {
  const log = '/log.steps';
  await using daemon = await start();
  await daemon.kill();
  await daemon.boot({ BERTH_STEPS: daemon.world.path(log) });
  await importImage(daemon, one);
  await daemon.client.RemoveImage({ image: { image: one.id } });
  const steps = (await readFile(daemon.world.path(log), 'utf8'))
    .split('\n')
    .filter((line) => line.startsWith('Import '));
  const named = steps.indexOf('Import move layers/<id>');
  t.true(named > 0, steps.join());
  // The first step is number 1, so this is the one behind it.
  await daemon.killAndBoot({ BERTH_FAULT: `stop@Import:${named + 2}` });
  await t.throwsAsync(importImage(daemon, one));
  await daemon.ended();
  await losePower(daemon);
  t.deepEqual(await contentOf(daemon, 'layers', lower.diffId), sums(files('lower')).sort());
  await daemon.boot();
  t.deepEqual((await daemon.client.ListImages({})).images, []);
  await importImage(daemon, one);
});
