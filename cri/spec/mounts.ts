import { BerthError, invalid } from '../../base/errors.ts';
import type { OciMount } from '../../shim/oci.ts';
import { type DefaultMountOptions, defaultMounts } from './default-mounts.ts';
import type { Mount } from './types.ts';
import { absolutePath, cleanPath, enumName, isUnder } from './values.ts';

const modes = ['PROPAGATION_PRIVATE', 'PROPAGATION_HOST_TO_CONTAINER', 'PROPAGATION_BIDIRECTIONAL'] as const;
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
  if (!served) unsupported(mount, 'recursive_read_only', 'needs Linux 5.12 or newer (mount_setattr)');
};

// What is not served is refused by name: a mount that is quietly different from the one asked for is a hole.
const checkServed = (mount: Mount, { recursiveReadOnly }: MountOptions): void => {
  if (mount.image?.image) unsupported(mount, 'image', 'image volumes are not served by this version');
  if (mount.image_sub_path) throw invalid(`mount ${mount.container_path}: image_sub_path: the mount names no image`);
  if (mount.uidMappings?.length) unsupported(mount, 'uidMappings', 'idmapped mounts are not served by this version');
  if (mount.gidMappings?.length) unsupported(mount, 'gidMappings', 'idmapped mounts are not served by this version');
  if (mount.mount_options?.length) unsupported(mount, 'mount_options', 'not served by this version');
  checkRecursive(mount, recursiveReadOnly);
};

const access = (mount: Mount): string => {
  if (!mount.readonly) return 'rw';
  return mount.recursive_read_only ? 'rro' : 'ro';
};

const bindMount = (mount: Mount, options: MountOptions): OciMount => {
  if (!mount.container_path) throw invalid('mount: container_path is empty');
  checkServed(mount, options);
  const destination = cleanPath(mount.container_path, 'container_path');
  if (destination === '/') throw invalid('mount: container_path "/" would hide the image');
  if (!mount.host_path) throw invalid(`mount ${destination}: host_path is empty`);
  const source = absolutePath(mount.host_path, 'host_path');
  const propagation = propagations[enumName(mount.propagation, modes, 'propagation')];
  return { destination, type: 'bind', source, options: ['rbind', propagation, access(mount)] };
};

const depth = ({ destination }: OciMount): number => destination.split('/').length;

// A stable sort: parents before children, what is equally deep in the order of the request. Two mounts on one place are
// both made; the later lies on top.
const parentsFirst = (mounts: readonly OciMount[]): readonly OciMount[] =>
  mounts.toSorted((a, b) => depth(a) - depth(b));

export interface SandboxFiles {
  readonly hostname: string;
  readonly hosts: string;
  readonly resolvConf: string;
  /** The pod's /dev/shm, or the host's. */
  readonly shm: string;
}

// Read-only together with the root file system; else a container may edit its pod's, as with the field's other runtimes.
const sandboxMounts = (files: SandboxFiles, readonly: boolean): readonly OciMount[] => {
  const file = (destination: string, source: string): OciMount => ({
    destination,
    type: 'bind',
    source,
    options: ['rbind', 'rprivate', readonly ? 'ro' : 'rw'],
  });
  return [
    file('/etc/hostname', files.hostname),
    file('/etc/hosts', files.hosts),
    file('/etc/resolv.conf', files.resolvConf),
    {
      destination: '/dev/shm',
      type: 'bind',
      source: files.shm,
      options: ['rbind', 'rprivate', 'rw', 'nosuid', 'nodev', 'noexec'],
    },
  ];
};

export interface MountOptions extends DefaultMountOptions {
  readonly files: SandboxFiles;
  readonly readonlyRoot: boolean;
  /** The kernel can make a whole tree of mounts read-only. */
  readonly recursiveReadOnly: boolean;
}

/** All mounts in the order in which they are made. The request's replace Berth's own on the same place; a /dev of the request replaces all below it. */
export const containerMounts = (requested: readonly Mount[], options: MountOptions): readonly OciMount[] => {
  const asked = requested.map((mount) => bindMount(mount, options));
  const taken = new Set(asked.map(({ destination }) => destination));
  const replaced = ({ destination }: OciMount): boolean =>
    taken.has(destination) || (taken.has('/dev') && isUnder('/dev', destination));
  const own = defaultMounts(options).filter((mount) => !replaced(mount));
  const files = sandboxMounts(options.files, options.readonlyRoot).filter((mount) => !replaced(mount));
  return [...own, ...parentsFirst([...files, ...asked])];
};

/** What the root mount's propagation must be so that the mounts below keep theirs. */
export const rootPropagation = (mounts: readonly OciMount[]): 'private' | 'slave' | 'shared' => {
  const has = (option: string): boolean => mounts.some(({ options }) => options.includes(option));
  if (has('rshared')) return 'shared';
  return has('rslave') ? 'slave' : 'private';
};
