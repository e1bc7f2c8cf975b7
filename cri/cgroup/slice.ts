import { invalid } from '../../base/errors.ts';

/** The longest name of a unit (systemd.unit(5)). */
const longest = 255;
/** PATH_MAX without what stands before it and, in its scope, behind it. */
const longestPath = 3800;

/**
 * "a-b.slice" is "/a.slice/a-b.slice" below the root of cgroups (systemd.slice(5)). Errors: invalid-argument for what is no slice's
 * name, and for names that systemd changes on their way to the file system.
 */
export const pathOfSlice = (slice: string): string => {
  const name = /^([A-Za-z0-9][A-Za-z0-9:_.\\@-]*)\.slice$/.exec(slice)?.[1];
  if (name === undefined || slice.length > longest || name.split('-').includes(''))
    throw invalid(`cgroup_parent: ${JSON.stringify(slice.slice(0, longest))} is not the name of a systemd slice`);
  const parts = name.split('-');
  const path = parts.map((_, index) => `/${parts.slice(0, index + 1).join('-')}.slice`).join('');
  if (path.length > longestPath)
    throw invalid(
      `cgroup_parent: ${slice.slice(0, 40)}… is ${parts.length} slices deep: its path has ${path.length} bytes, ${longestPath} are allowed`,
    );
  return path;
};
