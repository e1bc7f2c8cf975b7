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
