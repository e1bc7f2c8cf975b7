import type { CgroupMode } from '../cgroup/mode.ts';

/** The container's directories in every hierarchy; `path` is the OCI spec's `cgroupsPath`. */
export const cgroupDirectories = ({ unified, hierarchies }: CgroupMode, path: string): readonly string[] =>
  unified === undefined ? hierarchies.map(({ mount }) => mount + path) : [unified.mount + path];

/** How one more process gets into the container's cgroup: v1 `tasks` files, or the v2 directory. */
export const joinCgroup = (
  mode: CgroupMode,
  path: string,
): { readonly join: readonly string[]; readonly into?: string } => {
  const directories = cgroupDirectories(mode, path);
  if (mode.unified === undefined) return { join: directories.map((directory) => `${directory}/tasks`) };
  return { join: [], into: mode.unified.mount + path };
};
