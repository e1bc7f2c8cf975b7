import { cString } from './frames.ts';
import { nodeTypes } from './linux.ts';
import type { OciDevice } from './oci.ts';
import type { Plan } from './plan.ts';
import { hostId, type UserNamespace } from './user-namespace.ts';

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

/** The spec's devices and those that every container has, by path. */
const allDevices = (devices: readonly OciDevice[]): ReadonlyMap<string, OciDevice> =>
  new Map([...standardDevices, ...devices].map((device) => [device.path, device]));

const addNode = (plan: Plan, { path, type, major, minor, fileMode, uid, gid }: OciDevice): void =>
  plan.add('MKNOD', cString(path, 'device'), nodeTypes[type] | (fileMode & 0o7777), major, minor, uid, gid);

/** The nodes and links of the container's own /dev. */
export const addDev = (plan: Plan, devices: readonly OciDevice[]): void => {
  for (const device of allDevices(devices).values()) addNode(plan, device);
  addDevLinks(plan, devices);
};

export const addDevLinks = (plan: Plan, devices: readonly OciDevice[]): void => {
  const all = allDevices(devices);
  for (const [target, path] of standardLinks) if (!all.has(path)) plan.add('SYMLINK', target, path);
};

/**
 * The nodes of a container in a user namespace, where nobody may make one: with the host's rights, in the /dev that waits
 * in `slot`, or in the root. Their owners are mapped, so that who may open a device elsewhere may do so here.
 */
export const addMappedNodes = (plan: Plan, devices: readonly OciDevice[], slot: number, user: UserNamespace): void => {
  const owned = (device: OciDevice): OciDevice =>
    device.hostOwned ? device : { ...device, uid: hostId(user.uids, device.uid), gid: hostId(user.gids, device.gid) };
  const all = [...allDevices(devices).values()].map(owned);
  const isInDev = ({ path }: OciDevice): boolean => path.startsWith('/dev/');
  for (const device of all.filter((one) => !isInDev(one))) addNode(plan, device);
  plan.add('NODES', slot);
  for (const device of all.filter(isInDev)) addNode(plan, { ...device, path: device.path.slice('/dev'.length) });
};
