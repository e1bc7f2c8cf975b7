import type { OciResources } from '../../shim/oci.ts';
import { limitProperties, notKept } from '../cgroup/properties.ts';
import { v2Writes } from '../cgroup/v2.ts';
import type { CgroupWrite } from '../cgroup/write.ts';
import type { Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import { scopeOf } from './end-scope.ts';

/** True: systemd has written the files of the unit, so that what it does not keep is to be written again (`lostWrites`). */
export const tellSystemd = async (
  { driver: { systemd }, log }: Pick<Runtime, 'driver' | 'log'>,
  container: string,
  scope: string | undefined,
  writes: readonly CgroupWrite[],
): Promise<boolean> => {
  const properties = limitProperties(writes);
  if (scope === undefined || properties.length === 0) return false;
  const known = await systemd.setProperties(scope, properties);
  if (!known)
    log.warn({ container, scope }, 'systemd has no such unit any more: the limits are in the kernel’s files alone');
  return known;
};

/** Those of a container's limits that are lost whenever systemd writes the files of its scope; none without a scope. */
export const lostWrites = (
  { cgroups }: Pick<Runtime, 'cgroups'>,
  { record }: Pick<Container, 'record'>,
  resources: OciResources,
): readonly CgroupWrite[] => {
  const scope = scopeOf(record.cgroups);
  if (scope === undefined || cgroups.unified === undefined) return [];
  return notKept(v2Writes(cgroups, cgroups.unified, scope.slice(cgroups.unified.mount.length), resources));
};
