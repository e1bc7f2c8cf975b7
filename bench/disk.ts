import type { World } from '../critest/harness/world.ts';
import { beginNothingWhenInterrupted } from './left.ts';

/**
 * Mounts a new ext4, with a journal as distributions make it, at `directory` in the world; it goes with it. What a disk does
 * hangs on what was removed from it: without a journal files are made many times slower for minutes after a large removal.
 */
export const freshDisk = async (world: World, directory: string): Promise<void> => {
  beginNothingWhenInterrupted();
  const image = world.path(`disk-${directory.split('/').at(-1)}`);
  await world.sh(`truncate -s ${size} ${image} && mkfs.ext4 -q ${image} && mkdir -p ${directory} &&
    mount -o loop ${image} ${directory} && rmdir ${directory}/lost+found && chmod 700 ${directory}`);
};

const size = '16G';
