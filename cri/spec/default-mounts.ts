import type { OciMount } from '../../shim/oci.ts';
import { mappedIds, type UserMapping } from './user-namespace.ts';

export interface DefaultMountOptions {
  readonly privileged: boolean;
  /** The pod's user namespace. */
  readonly user?: UserMapping;
  /** The pod uses the host's network. */
  readonly hostNetwork?: boolean;
}

const own = (destination: string, type: string, source: string, options: readonly string[]): OciMount => ({
  destination,
  type,
  source,
  options,
});

/**
 * What every container has (OCI runtime-spec, "Default Filesystems"; modes and sizes as the field's other runtimes).
 * /sys and cgroup are writable for privileged containers alone (CVE-2023-25809).
 */
export const defaultMounts = ({ privileged, user, hostNetwork }: DefaultMountOptions): readonly OciMount[] => {
  const access = privileged ? 'rw' : 'ro';
  // The host's own sysfs then, in which a user namespace has no say.
  const sys = user !== undefined && hostNetwork ? 'ro' : access;
  const terminals = user !== undefined && user.gids.size <= 5 ? [] : ['gid=5'];
  return [
    own('/proc', 'proc', 'proc', ['nosuid', 'noexec', 'nodev']),
    own('/dev', 'tmpfs', 'tmpfs', ['nosuid', 'strictatime', 'mode=755', 'size=65536k']),
    own('/dev/pts', 'devpts', 'devpts', [
      'nosuid',
      'noexec',
      'newinstance',
      'ptmxmode=0666',
      'mode=0620',
      ...terminals,
    ]),
    own('/dev/mqueue', 'mqueue', 'mqueue', ['nosuid', 'noexec', 'nodev']),
    own('/sys', 'sysfs', 'sysfs', ['nosuid', 'noexec', 'nodev', sys]),
    own('/sys/fs/cgroup', 'cgroup', 'cgroup', ['nosuid', 'noexec', 'nodev', 'relatime', access]),
  ];
};

export interface SandboxFiles {
  readonly hostname: string;
  readonly hosts: string;
  readonly resolvConf: string;
  /** The pod's /dev/shm, or the host's. */
  readonly shm: string;
}

// Read-only together with the root file system; else a container may edit its pod's, as with the field's other runtimes.
export const sandboxMounts = (files: SandboxFiles, readonly: boolean, user?: UserMapping): readonly OciMount[] => {
  const file = (destination: string, source: string): OciMount => ({
    destination,
    type: 'bind',
    source,
    options: ['rbind', 'rprivate', readonly ? 'ro' : 'rw'],
    ...mappedIds(user),
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
