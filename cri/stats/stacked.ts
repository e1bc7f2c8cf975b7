import { readdirSync } from 'node:fs';
import { errnoOf } from '../../base/errors.ts';
import { readKernelFile } from './kernel-file.ts';
import type { BlockIo } from './metrics/block-io.ts';

/** The disks that a device lies on, each as "8:0"; none for a disk. */
export type DisksBelow = (device: string) => readonly string[];

/** As sysfs tells it (/sys/dev/block/M:N/slaves: device mapper, md). Looked up once a device, so it is for one call. */
export const disksBelow = (sysfs = '/sys/dev/block'): DisksBelow => {
  const known = new Map<string, readonly string[]>();
  return (device) => {
    const below = known.get(device) ?? slavesOf(`${sysfs}/${device}/slaves`);
    known.set(device, below);
    return below;
  };
};

/** Cgroups count by disk, also what goes to one of its partitions. */
const slavesOf = (directory: string): readonly string[] =>
  namesIn(directory).flatMap((name) => {
    const slave = `${directory}/${name}`;
    const isPartition = readKernelFile(`${slave}/partition`) !== undefined;
    const device = readKernelFile(isPartition ? `${slave}/../dev` : `${slave}/dev`)?.trim();
    return device === undefined ? [] : [device];
  });

const namesIn = (directory: string): readonly string[] => {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
};

/**
 * The bytes of all devices, each byte once: the kernel counts what a logical volume passes on for the volume and for its disk, and
 * some of it (dm-crypt's writes) for the volume alone. So a disk adds what it has more than the volumes on it.
 */
export const bytesOfAll = (
  devices: readonly BlockIo[],
  below: DisksBelow,
): { readonly readBytes: bigint; readonly writtenBytes: bigint } => {
  const counted = new Map(devices.map((io) => [`${io.major}:${io.minor}`, io]));
  const totalOf = (key: 'readBytes' | 'writtenBytes'): bigint => {
    const own = new Map([...counted].map(([device, io]) => [device, io[key]]));
    if (counted.size > 1)
      for (const [device, io] of counted)
        for (const disk of countedBelow(device, counted, below)) own.set(disk, (own.get(disk) ?? 0n) - io[key]);
    return [...own.values()].reduce((total, bytes) => (bytes > 0n ? total + bytes : total), 0n);
  };
  return { readBytes: totalOf('readBytes'), writtenBytes: totalOf('writtenBytes') };
};

/** The next ones below that are counted: a device in between may not be. */
const countedBelow = (
  device: string,
  counted: ReadonlyMap<string, BlockIo>,
  below: DisksBelow,
  depth = 0,
): ReadonlySet<string> =>
  new Set(
    below(device).flatMap((disk) => {
      if (counted.has(disk)) return [disk];
      return depth < deepest ? [...countedBelow(disk, counted, below, depth + 1)] : [];
    }),
  );

/** The kernel stacks fewer. */
const deepest = 16;
