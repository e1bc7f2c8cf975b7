import { BerthError, invalid } from '../../base/errors.ts';
import { absolutePath } from '../spec/values.ts';

/**
 * The parent of a pod's containers, below each hierarchy's mount: absolute, clean, not the root itself.
 * `fallback` is the configuration's, for pods that name none.
 */
export const cgroupParent = (requested: string | undefined, fallback: string): string => {
  const parent = absolutePath(requested || fallback, 'cgroup_parent');
  if (parent === '/') throw invalid('cgroup_parent: "/" is the root of all cgroups');
  if (parent.split('/').some((part) => part.endsWith('.slice')))
    throw new BerthError(
      'unimplemented',
      `cgroup_parent: ${parent} is a systemd slice, this version drives cgroups by cgroupfs alone: set kubelet's cgroupDriver to cgroupfs`,
    );
  if (parent.split('/').some((part) => part.startsWith('cgroup.')))
    throw invalid(`cgroup_parent: ${parent} has a part that begins with "cgroup.", as the kernel's own files do`);
  return parent;
};

/** The directories above a path, from just below the root: "/a/b/c" has "/a" and "/a/b". */
export const ancestors = (path: string): readonly string[] => {
  const parts = path.split('/').slice(1, -1);
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`);
};
