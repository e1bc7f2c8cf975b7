import { invalid } from '../../base/errors.ts';
import type { OciDevice, OciDeviceRule, OciMount } from '../../shim/oci.ts';
import { isMadeAt, type PlacedDevice, placeDevices } from './device-places.ts';
import type { Device } from './types.ts';
import { absolutePath, cleanPath } from './values.ts';

/** A device node of the host. */
export interface HostDevice {
  readonly path: string;
  readonly type: 'c' | 'b';
  readonly major: number;
  readonly minor: number;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

const character = (path: string, major: number, minor: number): OciDevice => ({
  path,
  type: 'c',
  major,
  minor,
  fileMode: 0o666,
  uid: 0,
  gid: 0,
});

/** OCI runtime-spec, "Default Devices"; /dev/console and /dev/ptmx are the native side's, they depend on the terminal. */
export const defaultDevices: readonly OciDevice[] = [
  character('/dev/null', 1, 3),
  character('/dev/zero', 1, 5),
  character('/dev/full', 1, 7),
  character('/dev/random', 1, 8),
  character('/dev/urandom', 1, 9),
  character('/dev/tty', 5, 0),
];

const rule = (type: HostDevice['type'], major: number, minor: number | undefined, access: string): OciDeviceRule => ({
  allow: true,
  type,
  major,
  ...(minor === undefined ? {} : { minor }),
  access,
});
const denyAll: OciDeviceRule = { allow: false, access: 'rwm' };
const allowAll: OciDeviceRule = { allow: true, access: 'rwm' };
// Anybody may make a node (CAP_MKNOD is Docker's default); only these may be opened: the default devices, pts, ptmx, console and tun,
// which gives an interface in the container's own network to who has NET_ADMIN there: pods of VPNs make the node or mount the host's,
// and runc 1.2.0, which refused them, had to take that back.
const defaultRules: readonly OciDeviceRule[] = [
  { allow: true, type: 'c', access: 'm' },
  { allow: true, type: 'b', access: 'm' },
  ...defaultDevices.map(({ major, minor }) => rule('c', major, minor, 'rwm')),
  rule('c', 5, 1, 'rwm'),
  rule('c', 5, 2, 'rwm'),
  rule('c', 136, undefined, 'rwm'),
  rule('c', 10, 200, 'rwm'),
];

const access = (device: Device): string => {
  const permissions = device.permissions || 'rwm';
  if (!/^[rwm]{1,3}$/.test(permissions) || new Set(permissions).size !== permissions.length)
    throw invalid(`device ${device.host_path}: permissions: "${permissions}" is not made of r, w and m`);
  return permissions;
};

export interface DeviceSet {
  readonly devices: readonly OciDevice[];
  readonly rules: readonly OciDeviceRule[];
}

// A directory of the host (/dev/snd) stands for all devices in it, below container_path.
const requested = (device: Device, found: DeviceOptions['found']): readonly PlacedDevice[] => {
  const host = absolutePath(device.host_path ?? '', 'device host_path');
  const inside = cleanPath(device.container_path || host, `device ${host}: container_path`);
  if (inside === '/') throw invalid(`device ${host}: container_path is "/"`);
  const nodes = found.get(device.host_path ?? '');
  if (nodes === undefined) throw invalid(`device ${host}: host_path: there is no such file or directory`);
  if (nodes.length === 0) throw invalid(`device ${host}: not a device, nor a directory with devices`);
  const permissions = access(device);
  return nodes.map((node) => {
    const source = cleanPath(node.path, 'device');
    return { device: ociDevice(node, inside + source.slice(host.length)), source, asked: host, permissions };
  });
};

const ociDevice = (node: HostDevice, path: string): OciDevice & Pick<HostDevice, 'type'> => ({
  path,
  type: node.type,
  major: node.major,
  minor: node.minor,
  fileMode: node.mode,
  uid: node.uid,
  gid: node.gid,
});

// By path, the later wins: nodes of the host, those of every container, the request's.
const unique = (devices: readonly OciDevice[]): readonly OciDevice[] => [
  ...new Map(devices.map((device) => [device.path, device])).values(),
];

export interface DeviceOptions {
  /** The pod has a user namespace: its root does not become owner of what privileged containers get of the host's. */
  readonly mapped?: boolean;
  readonly privileged: boolean;
  /** Every device below the host's /dev; only privileged containers get them. */
  readonly hostDevices: readonly HostDevice[];
  /** For each host_path of the request what is there: one device of that very path, or those below the directory. */
  readonly found: ReadonlyMap<string, readonly HostDevice[]>;
  /** The container's, in their order. */
  readonly mounts?: readonly OciMount[];
}

// Not the host's terminals and shared memory: /dev/pts, /dev/shm, /dev/mqueue and /dev/console are the container's own.
const foreign = /^\/dev\/(?:pts|shm|mqueue)\/|^\/dev\/(?:console|ptmx)$/;

/** The device nodes of a container and its rules, default deny first; privileged containers get all of the host's. */
export const containerDevices = (asked: readonly Device[], options: DeviceOptions): DeviceSet => {
  const { privileged, hostDevices, found, mounts = [] } = options;
  const placed = asked.flatMap((device) => requested(device, found));
  const isWanted = ({ path }: HostDevice): boolean => !foreign.test(path) && isMadeAt(path, mounts);
  const host = privileged ? hostDevices.filter(isWanted) : [];
  const devices = [
    ...host.map((node) => ({ ...ociDevice(node, node.path), ...(options.mapped ? { hostOwned: true } : {}) })),
    ...defaultDevices,
    ...placeDevices(placed, defaultDevices, mounts),
  ];
  const own = placed.map(({ device: { type, major, minor }, permissions }) => rule(type, major, minor, permissions));
  return { devices: unique(devices), rules: privileged ? [allowAll] : [denyAll, ...defaultRules, ...own] };
};
