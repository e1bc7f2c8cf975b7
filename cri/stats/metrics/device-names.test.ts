import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { deviceNames, numbersOf } from './device-names.ts';

test('a device is called as its node, one that is none as what is mounted from it, and else by its numbers', (t) =>
  withDir(
    async ({ path }) => {
      await mkdir(join(path, '8:1'));
      await writeFile(join(path, '8:1/uevent'), 'MAJOR=8\nMINOR=1\nDEVNAME=sda1\nDEVTYPE=partition\n');
      const mounts = join(path, 'mountinfo');
      await writeFile(
        mounts,
        '20 1 8:1 / / rw - ext4 /dev/root rw\n31 23 0:28 /x /mnt rw shared:1 - btrfs /dev/sdb rw\n',
      );
      const name = deviceNames(path, mounts);
      t.deepEqual(['8:1', '0:28', '0:2', '8:1'].map(name), ['/dev/sda1', '/dev/sdb', '0:2', '/dev/sda1']);
    },
    { unsafeCleanup: true },
  ));

test('numbers of devices are those that the kernel tells of the same file', async (t) => {
  t.is(numbersOf(0x801n), '8:1');
  t.is(numbersOf(0x100000n + 0x10300n), '259:256');
  const { dev } = await stat('/proc/self', { bigint: true });
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  t.regex(mounts, new RegExp(`^\\d+ \\d+ ${numbersOf(dev)} / /proc `, 'm'));
});
