import type { World } from '../critest/harness/world.ts';
import { beginNothingWhenInterrupted } from './left.ts';

/**
 * Mounts a new ext4, with a journal as distributions make it, at `directory` in the world; it goes with it. What a disk does
 * hangs on what was removed from it: without a journal files are made many times slower for minutes after a large removal.
 * The file below is written past its own page cache: a disk takes no processor to copy what is sent to it, and who syncs would
 * alone pay for that.
 */
export const freshDisk = async (world: World, directory: string): Promise<void> => {
  beginNothingWhenInterrupted();
  const image = world.path(`disk-${directory.split('/').at(-1)}`);
  await world.sh(`truncate -s ${size} ${image} && mkfs.ext4 -q ${image} && mkdir -p ${directory} &&
    disk=$(losetup --find --show --direct-io=on ${image}) || exit
    mount "$disk" ${directory} && rmdir ${directory}/lost+found && chmod 700 ${directory}
    mounted=$?
    # Mounted, it goes with the mount.
    losetup --detach "$disk" && exit "$mounted"`);
};

const size = '16G';
