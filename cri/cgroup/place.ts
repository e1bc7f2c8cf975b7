import { basename, dirname } from 'node:path';
import { isId } from '../../base/digest.ts';
import { invalid } from '../../base/errors.ts';
import { cleanPath } from '../spec/values.ts';
import { pathOfSlice } from './slice.ts';

/** Where a container is in the trees of cgroups. */
export interface CgroupPlace {
  /** Below each hierarchy's mount. */
  readonly path: string;
  /** systemd's units for it; undefined where its directory is our own to make. */
  readonly units?: { readonly scope: string; readonly slice: string };
}

/** What stands in the OCI spec: a path, or "slice:prefix:name", as OCI runtimes read it when systemd drives cgroups. */
export const cgroupsPathOf = (parent: string, id: string): string =>
  parent.endsWith('.slice') ? `${basename(parent)}:berth:${id}` : `${parent}/${id}`;

/** From the `cgroupsPath` of a spec, which says by itself who drives it. Errors: invalid-argument. */
export const placeOf = (cgroupsPath: string): CgroupPlace => {
  const [slice = '', prefix = '', id = '', ...more] = cgroupsPath.split(':');
  const isScope = slice.endsWith('.slice') && more.length === 0 && !cgroupsPath.startsWith('/');
  const name = isScope ? id : basename(cgroupsPath);
  if (!isId(name)) throw invalid(`cgroup: ${JSON.stringify(name.slice(0, 80))} is not a container id`);
  if (!isScope) return { path: `${cleanPath(dirname(cgroupsPath), 'cgroup_parent')}/${name}` };
  const scope = `${prefix}-${id}.scope`;
  return { path: `${pathOfSlice(slice)}/${scope}`, units: { scope, slice } };
};
