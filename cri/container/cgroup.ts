import type { KernelFeatures } from '../../shim/features.ts';
import type { CgroupMode } from '../cgroup/mode.ts';
import { placeOf } from '../cgroup/place.ts';

/** The directories of `path` in every hierarchy. */
export const cgroupDirectories = ({ unified, hierarchies }: CgroupMode, path: string): readonly string[] =>
  unified === undefined ? hierarchies.map(({ mount }) => mount + path) : [unified.mount + path];

/** Those of a container, by the `cgroupsPath` of its OCI spec. */
export const containerDirectories = (mode: CgroupMode, cgroupsPath: string): readonly string[] =>
  cgroupDirectories(mode, placeOf(cgroupsPath).path);

/** How one more process gets into the container's cgroup: files that it writes itself into, or the v2 directory that it is cloned into. */
export const joinCgroup = (
  mode: CgroupMode,
  cgroupsPath: string,
  { cloneIntoCgroup }: Pick<KernelFeatures, 'cloneIntoCgroup'>,
): { readonly join: readonly string[]; readonly into?: string } => {
  const directories = containerDirectories(mode, cgroupsPath);
  if (mode.unified === undefined) return { join: directories.map((directory) => `${directory}/tasks`) };
  const [into = ''] = directories;
  return cloneIntoCgroup ? { join: [], into } : { join: [`${into}/cgroup.procs`] };
};
