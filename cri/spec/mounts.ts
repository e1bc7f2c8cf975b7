import { BerthError, invalid } from '../../base/errors.ts';
import type { OciMount } from '../../shim/oci.ts';
import { type DefaultMountOptions, defaultMounts, type SandboxFiles, sandboxMounts } from './default-mounts.ts';
import { imageMount, isImageMount, type Volume, volumeMount } from './image-mounts.ts';
import { accessOptions, propagationModes as modes } from './mount-options.ts';
import type { Mount } from './types.ts';
import { mappedIds, mountIds } from './user-namespace.ts';
import { absolutePath, cleanPath, enumName, isUnder } from './values.ts';

const propagations = {
  PROPAGATION_PRIVATE: 'rprivate',
  PROPAGATION_HOST_TO_CONTAINER: 'rslave',
  PROPAGATION_BIDIRECTIONAL: 'rshared',
} as const;

const unsupported = (mount: Mount, field: string, why: string): never => {
  throw new BerthError('unimplemented', `mount ${mount.container_path}: ${field}: ${why}`);
};

const checkRecursive = (mount: Mount, served: boolean): void => {
  if (!mount.recursive_read_only) return;
  if (!mount.readonly) throw invalid(`mount ${mount.container_path}: recursive_read_only: the mount is not readonly`);
  if (enumName(mount.propagation, modes, 'propagation') !== 'PROPAGATION_PRIVATE')
    throw invalid(`mount ${mount.container_path}: recursive_read_only: needs private propagation`);
  // The kubelet knows the first word (cri-api, pkg/errors).
  if (!served) unsupported(mount, 'recursive_read_only', 'RROUnsupported: needs Linux 5.12 or newer (mount_setattr)');
};

const modeOf = (mount: Mount, { privileged }: MountOptions): (typeof modes)[number] => {
  const mode = enumName(mount.propagation, modes, 'propagation');
  if (mode === 'PROPAGATION_BIDIRECTIONAL' && !privileged)
    throw invalid(`mount ${mount.container_path}: propagation: ${mode} is for privileged containers alone`);
  return mode;
};

/** The host_path of a mount, clean; what it is on the host is another's to see. */
export const mountSource = ({ container_path, host_path }: Mount): string => {
  if (!host_path) throw invalid(`mount ${container_path}: host_path is empty`);
  return absolutePath(host_path, `mount ${container_path}: host_path`);
};

const bindMount = (mount: Mount, destination: string, options: MountOptions): OciMount => {
  if (mount.image_sub_path) throw invalid(`mount ${destination}: image_sub_path: the mount names no image`);
  const source = options.sources?.get(mount.host_path ?? '') ?? mountSource(mount);
  const propagation = propagations[modeOf(mount, options)];
  const ids = mountIds(mount, options.user, destination);
  return { destination, type: 'bind', source, options: ['rbind', propagation, ...accessOptions(mount)], ...ids };
};

const requestedMount = (mount: Mount, options: MountOptions): OciMount => {
  if (!mount.container_path) throw invalid('mount: container_path is empty');
  checkRecursive(mount, options.recursiveReadOnly);
  const destination = cleanPath(mount.container_path, 'container_path');
  if (destination === '/') throw invalid('mount: container_path "/" would hide the image');
  if (!isImageMount(mount)) return bindMount(mount, destination, options);
  mountIds(mount, options.user, destination);
  // Layers are mapped for all of the pod, whether the mount says so or not: the image's own are, too.
  return { ...imageMount(mount, destination, options.images?.get(mount) ?? []), ...mappedIds(options.user) };
};

const depth = ({ destination }: OciMount): number => destination.split('/').length;

// A stable sort: parents before children, what is equally deep in the order of the request. Two mounts on one place are
// both made; the later lies on top.
const parentsFirst = (mounts: readonly OciMount[]): readonly OciMount[] =>
  mounts.toSorted((a, b) => depth(a) - depth(b));

export interface MountOptions extends DefaultMountOptions {
  readonly files: SandboxFiles;
  readonly readonlyRoot: boolean;
  /** The kernel can make a whole tree of mounts read-only. */
  readonly recursiveReadOnly: boolean;
  /** What each host_path leads to, links followed. */
  readonly sources?: ReadonlyMap<string, string>;
  /** The layers of each mount that names an image, topmost first. */
  readonly images?: ReadonlyMap<Mount, readonly string[]>;
  /** Where the image has a VOLUME. */
  readonly volumes?: readonly Volume[];
}

/**
 * All mounts in the order in which they are made. The request's replace Berth's own on the same place; its /dev, /sys and
 * /proc replace all below them.
 */
export const containerMounts = (requested: readonly Mount[], options: MountOptions): readonly OciMount[] => {
  const asked = requested.map((mount) => requestedMount(mount, options));
  const volumes = (options.volumes ?? []).map((volume) => ({ ...volumeMount(volume), ...mappedIds(options.user) }));
  const taken = new Set(asked.map(({ destination }) => destination));
  const tops = ['/dev', '/sys', '/proc'].filter((top) => taken.has(top));
  const isReplaced = ({ destination }: OciMount): boolean =>
    taken.has(destination) || tops.some((top) => isUnder(top, destination));
  const own = defaultMounts(options).filter((mount) => !isReplaced(mount));
  const files = sandboxMounts(options.files, options.readonlyRoot, options.user).filter((mount) => !isReplaced(mount));
  return [...own, ...parentsFirst([...files, ...volumes, ...asked])];
};

/** What the root mount's propagation must be so that the mounts below keep theirs. */
export const rootPropagation = (mounts: readonly OciMount[]): 'private' | 'slave' | 'shared' => {
  const has = (option: string): boolean => mounts.some(({ options }) => options.includes(option));
  if (has('rshared')) return 'shared';
  return has('rslave') ? 'slave' : 'private';
};
