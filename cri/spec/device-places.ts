import { join } from 'node:path';
import { invalid } from '../../base/errors.ts';
import type { OciDevice, OciMount } from '../../shim/oci.ts';
import { isUnder } from './values.ts';

/** A device of the request, where the container shall have it. */
export interface PlacedDevice {
  readonly device: OciDevice & { readonly type: 'c' | 'b' };
  /** The host's node that it is, and the host_path of the request. */
  readonly source: string;
  readonly asked: string;
  readonly permissions: string;
}

const isSame = (a: OciDevice, b: OciDevice): boolean => a.type === b.type && a.major === b.major && a.minor === b.minor;

/** The mount that a path lies in: the deepest, of several at one place the last. */
const mountOf = (path: string, mounts: readonly OciMount[]): OciMount | undefined =>
  mounts
    .filter(({ destination }) => isUnder(destination, path))
    .toSorted((a, b) => a.destination.length - b.destination.length)
    .at(-1);

/** Nodes are made in the container's own file systems alone: below a mount of the host they would be left there. */
export const isMadeAt = (path: string, mounts: readonly OciMount[]): boolean => {
  const mount = mountOf(path, mounts);
  return mount === undefined || (mount.destination === '/dev' && mount.type === 'tmpfs');
};

/** False when a mount of the request already shows this very node there. Any other place below a mount is refused. */
const mustBeMade = ({ device, source, asked }: PlacedDevice, mounts: readonly OciMount[]): boolean => {
  if (isMadeAt(device.path, mounts)) return true;
  const mount = mountOf(device.path, mounts);
  const { destination = '' } = mount ?? {};
  if (mount?.type === 'bind' && join(mount.source, device.path.slice(destination.length)) === source) return false;
  throw invalid(
    `device ${asked}: container_path ${device.path} is below the mount at ${destination}: no node is made there`,
  );
};

const checkTwice = (placed: PlacedDevice, before: ReadonlyMap<string, PlacedDevice>): void => {
  const other = before.get(placed.device.path);
  if (other === undefined || (isSame(other.device, placed.device) && other.permissions === placed.permissions)) return;
  throw invalid(
    `device ${placed.asked}: container_path ${placed.device.path} is there twice, the other one from ${other.asked}`,
  );
};

/** The nodes to make of what the request asks for. `standard`: those of every container, which no other can replace. */
export const placeDevices = (
  all: readonly PlacedDevice[],
  standard: readonly OciDevice[],
  mounts: readonly OciMount[],
): readonly OciDevice[] => {
  const byPath = new Map<string, PlacedDevice>();
  for (const placed of all) {
    const { device, asked } = placed;
    const own = standard.find(({ path }) => path === device.path);
    if (own !== undefined && !isSame(own, device))
      throw invalid(`device ${asked}: container_path ${device.path} is another device in every container`);
    checkTwice(placed, byPath);
    byPath.set(device.path, placed);
  }
  return [...byPath.values()].filter((placed) => mustBeMade(placed, mounts)).map(({ device }) => device);
};
