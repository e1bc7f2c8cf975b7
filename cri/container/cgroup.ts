import type { KernelFeatures } from '../../shim/features.ts';
import type { CgroupMode } from '../cgroup/mode.ts';

/** The container's directories in every hierarchy; `path` is the OCI spec's `cgroupsPath`. */
export const cgroupDirectories = ({ unified, hierarchies }: CgroupMode, path: string): readonly string[] =>
  unified === undefined ? hierarchies.map(({ mount }) => mount + path) : [unified.mount + path];

/** How one more process gets into the container's cgroup: files that it writes itself into, or the v2 directory that it is cloned into. */
export const joinCgroup = (
  mode: CgroupMode,
  path: string,
  { cloneIntoCgroup }: Pick<KernelFeatures, 'cloneIntoCgroup'>,
): { readonly join: readonly string[]; readonly into?: string } => {
  const directories = cgroupDirectories(mode, path);
  if (mode.unified === undefined) return { join: directories.map((directory) => `${directory}/tasks`) };
  const into = mode.unified.mount + path;
  return cloneIntoCgroup ? { join: [], into } : { join: [`${into}/cgroup.procs`] };
};
