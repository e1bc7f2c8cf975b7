import { cString } from './frames.ts';
import { nodeTypes } from './linux.ts';
import type { OciDevice } from './oci.ts';
import type { Plan } from './plan.ts';

const standardDevices: readonly OciDevice[] = (
  [
    ['/dev/null', 1, 3],
    ['/dev/zero', 1, 5],
    ['/dev/full', 1, 7],
    ['/dev/random', 1, 8],
    ['/dev/urandom', 1, 9],
    ['/dev/tty', 5, 0],
  ] as const
).map(([path, major, minor]) => ({ path, type: 'c', major, minor, fileMode: 0o666, uid: 0, gid: 0 }));

const standardLinks = [
  ['/proc/self/fd', '/dev/fd'],
  ['/proc/self/fd/0', '/dev/stdin'],
  ['/proc/self/fd/1', '/dev/stdout'],
  ['/proc/self/fd/2', '/dev/stderr'],
  ['pts/ptmx', '/dev/ptmx'],
] as const;

/** The nodes and links of the container's own /dev: the spec's and those that every container has. */
export const addDev = (plan: Plan, devices: readonly OciDevice[]): void => {
  const all = new Map(standardDevices.map((device) => [device.path, device]));
  for (const device of devices) all.set(device.path, device);
  for (const { path, type, major, minor, fileMode, uid, gid } of all.values())
    plan.add('MKNOD', cString(path, 'device'), nodeTypes[type] | (fileMode & 0o7777), major, minor, uid, gid);
  for (const [target, path] of standardLinks) if (!all.has(path)) plan.add('SYMLINK', target, path);
};
