import { basename } from 'node:path';
import { BerthError, invalid } from '../../base/errors.ts';
import { absolutePath } from '../spec/values.ts';
import { pathOfSlice } from './slice.ts';

export type DriverName = 'systemd' | 'cgroupfs';

export interface ParentSettings {
  readonly driver: DriverName;
  /** The configuration's, for pods that name none. */
  readonly parent: string;
}

/**
 * The parent of a pod's containers, below each hierarchy's mount: absolute, clean, not the root itself. With systemd it is a slice,
 * by its name or by its whole path. Errors: invalid-argument; failed-precondition for what is the other driver's.
 */
export const cgroupParent = (requested: string | undefined, { driver, parent }: ParentSettings): string => {
  const wanted = requested || parent;
  return driver === 'systemd' ? sliceParent(wanted) : pathParent(wanted);
};

/** Of a pod that is there, whatever driver made it. */
export const parentPath = (parent: string): string =>
  parent.endsWith('.slice') ? pathOfSlice(basename(parent)) : parent;

const other = (wanted: string, what: string, driver: DriverName, kubelet: DriverName): BerthError =>
  new BerthError(
    'failed-precondition',
    `cgroup_parent: ${wanted} is ${what}, and this Berth drives cgroups by ${driver}: set kubelet's cgroupDriver to ${driver}, or cgroup.driver in Berth's configuration to ${kubelet}`,
  );

const sliceParent = (wanted: string): string => {
  const name = basename(wanted);
  if (!name.endsWith('.slice')) throw other(wanted, 'no systemd slice', 'systemd', 'cgroupfs');
  // "@" makes no slice, and ":" parts what stands in the OCI spec
  if (/[@:]/.test(name)) throw invalid(`cgroup_parent: ${name}: a slice of pods has no "@" and no ":" in its name`);
  const path = pathOfSlice(name);
  if (wanted.includes('/') && absolutePath(wanted, 'cgroup_parent') !== path)
    throw invalid(`cgroup_parent: ${wanted}: the slice ${name} is at ${path}`);
  return path;
};

const pathParent = (wanted: string): string => {
  if (wanted.endsWith('.slice') || wanted.includes('.slice/'))
    throw other(wanted, 'a systemd slice', 'cgroupfs', 'systemd');
  const path = absolutePath(wanted, 'cgroup_parent');
  if (path === '/') throw invalid('cgroup_parent: "/" is the root of all cgroups');
  if (path.split('/').some((part) => part.startsWith('cgroup.')))
    throw invalid(`cgroup_parent: ${path} has a part that begins with "cgroup.", as the kernel's own files do`);
  return path;
};

/** The directories above a path, from just below the root: "/a/b/c" has "/a" and "/a/b". */
export const ancestors = (path: string): readonly string[] => {
  const parts = path.split('/').slice(1, -1);
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`);
};
