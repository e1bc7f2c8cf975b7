import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { parseV2BlockIo } from './metrics/block-io.ts';
import { bytesOfAll, type DisksBelow, disksBelow } from './stacked.ts';

/** LVM on a partition of sda, LVM on dm-crypt on sdb, and a mirror of sdc and sdd; the rest of sda is used directly. */
const stack: Readonly<Record<string, readonly string[]>> = {
  '253:0': ['8:0'],
  '253:1': ['253:2'],
  '253:2': ['8:16'],
  '9:0': ['8:32', '8:48'],
};
const below: DisksBelow = (device) => stack[device] ?? [];

const total = (stat: string): readonly bigint[] => {
  const { readBytes, writtenBytes } = bytesOfAll(parseV2BlockIo(stat), below);
  return [readBytes, writtenBytes];
};

test('what a logical volume passes on to its disk counts once, and what went to the disk directly counts as well', (t) => {
  t.deepEqual(total('8:0 rbytes=60 wbytes=7\n'), [60n, 7n]);
  t.deepEqual(total('253:0 rbytes=60 wbytes=7\n8:0 rbytes=60 wbytes=7\n'), [60n, 7n]);
  t.deepEqual(total('8:0 rbytes=100 wbytes=7\n253:0 rbytes=60 wbytes=0\n'), [100n, 7n]);
  t.deepEqual(total('8:0 rbytes=1 wbytes=2\n8:64 rbytes=3 wbytes=4\n'), [4n, 6n], 'two disks');
});

test('volumes on volumes count once, also where the kernel does not count one in between or below', (t) => {
  t.deepEqual(
    total('253:1 rbytes=5 wbytes=5\n253:2 rbytes=5 wbytes=5\n8:16 rbytes=5 wbytes=0\n'),
    [5n, 5n],
    'dm-crypt writes from a thread of the kernel',
  );
  t.deepEqual(total('253:1 rbytes=5 wbytes=5\n8:16 rbytes=6 wbytes=5\n'), [6n, 5n]);
});

test('a mirror’s writes count once, however many disks have them', (t) => {
  const stat = '9:0 rbytes=8 wbytes=8\n8:32 rbytes=4 wbytes=8\n8:48 rbytes=4 wbytes=8\n';
  t.deepEqual(total(stat), [8n, 8n]);
});

test('a device whose stack is a circle, as no kernel makes one, ends', (t) => {
  const circle: DisksBelow = (device) => (device === '253:0' ? ['253:9'] : ['253:9', '253:8']);
  const devices = parseV2BlockIo('253:0 rbytes=2 wbytes=3\n8:0 rbytes=0 wbytes=0\n');
  t.deepEqual(bytesOfAll(devices, circle), { readBytes: 2n, writtenBytes: 3n });
});

test('what lies below a device is read from sysfs, a partition as its disk', (t) =>
  withDir(
    async ({ path }) => {
      const devices = { sda: '8:0', 'sda/sda2': '8:2', 'dm-0': '253:0', 'dm-1': '253:1' };
      await mkdir(join(path, 'by-number'));
      for (const [name, number] of Object.entries(devices)) {
        await mkdir(join(path, name, 'slaves'), { recursive: true });
        await writeFile(join(path, name, 'dev'), `${number}\n`);
        await symlink(`../${name}`, join(path, 'by-number', number));
      }
      await writeFile(join(path, 'sda/sda2/partition'), '2\n');
      for (const [upper, lower] of [
        ['dm-0', 'sda/sda2'],
        ['dm-1', 'dm-0'],
      ] as const) {
        const link = join(path, upper, 'slaves', lower.replaceAll('/', '-'));
        await symlink(relative(dirname(link), join(path, lower)), link);
      }
      const found = disksBelow(join(path, 'by-number'));
      t.deepEqual(
        ['253:1', '253:0', '8:0', '8:99'].map((device) => found(device)),
        [['253:0'], ['8:0'], [], []],
      );
    },
    { unsafeCleanup: true },
  ));
