import type { OciMount } from '../../shim/oci.ts';

export interface DefaultMountOptions {
  readonly privileged: boolean;
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
export const defaultMounts = ({ privileged }: DefaultMountOptions): readonly OciMount[] => {
  const access = privileged ? 'rw' : 'ro';
  return [
    own('/proc', 'proc', 'proc', ['nosuid', 'noexec', 'nodev']),
    own('/dev', 'tmpfs', 'tmpfs', ['nosuid', 'strictatime', 'mode=755', 'size=65536k']),
    own('/dev/pts', 'devpts', 'devpts', ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5']),
    own('/dev/mqueue', 'mqueue', 'mqueue', ['nosuid', 'noexec', 'nodev']),
    own('/sys', 'sysfs', 'sysfs', ['nosuid', 'noexec', 'nodev', access]),
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
export const sandboxMounts = (files: SandboxFiles, readonly: boolean): readonly OciMount[] => {
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
