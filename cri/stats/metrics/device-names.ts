import { readKernelFile } from '../kernel-file.ts';

/** "8:0" → "/dev/sda", as cAdvisor names block devices; the numbers of one that has no name. */
export type DeviceNames = (device: string) => string;

/** By sysfs, else by what is mounted from it (btrfs and others have numbers of no device). Looked up once a device, so it is for one call. */
export const deviceNames = (sysfs = '/sys/dev/block', mountinfo = '/proc/self/mountinfo'): DeviceNames => {
  const known = new Map<string, string>();
  return (device) => {
    const name = known.get(device) ?? nodeOf(device, sysfs) ?? sourceOf(device, mountinfo) ?? device;
    known.set(device, name);
    return name;
  };
};

const nodeOf = (device: string, sysfs: string): string | undefined => {
  const name = /^DEVNAME=(\S+)$/m.exec(readKernelFile(`${sysfs}/${device}/uevent`) ?? '')?.[1];
  return name === undefined ? undefined : `/dev/${name}`;
};

/** "31 23 0:28 / /mnt rw - btrfs /dev/sdb rw" (proc(5)). */
const sourceOf = (device: string, mountinfo: string): string | undefined => {
  const mount = (readKernelFile(mountinfo) ?? '').split('\n').find((line) => line.split(' ', 3)[2] === device);
  return mount?.split(' - ')[1]?.split(' ')[1];
};

/** The numbers of a device as stat(2) has them (makedev(3)). */
export const numbersOf = (device: bigint): string => {
  const major = ((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n);
  const minor = (device & 0xffn) | ((device >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
};
