import { isId } from '../../base/digest.ts';
import { invalid } from '../../base/errors.ts';
import type { OciResources } from '../../shim/oci.ts';
import { type CpusetState, cpusetWrites } from './cpuset.ts';
import type { CgroupMode } from './mode.ts';
import { ancestors } from './parent.ts';
import { v1Writes } from './v1.ts';
import { enableWrites, v2Writes } from './v2.ts';
import type { CgroupWrite } from './write.ts';

/** What the native side does before it clones: make directories (parents too), write files in order, join. */
export interface ContainerCgroup {
  make: { directory: string; version: 1 | 2 }[];
  writes: CgroupWrite[];
  /** v1: the `tasks` files that the container's process writes itself into. */
  join: string[];
  /** v2: the directory that the process is cloned into. */
  into?: string;
}

export interface CgroupPlan {
  readonly cgroup: ContainerCgroup;
  /** All that is there to end and remove when the container ends. */
  readonly directories: readonly string[];
  /** Relative to the mounts, for the OCI spec's `cgroupsPath`. */
  readonly path: string;
}

/**
 * The container's own cgroup, `parent`/`id`, in every hierarchy that there is. `cpusets` comes from `readCpusets`
 * (v1 alone needs it). Errors: failed-precondition for a limit whose controller the machine lacks.
 */
export const containerCgroup = (
  mode: CgroupMode,
  parent: string,
  id: string,
  resources: OciResources,
  cpusets: readonly CpusetState[],
): CgroupPlan => {
  if (!isId(id)) throw invalid(`cgroup: ${JSON.stringify(id.slice(0, 80))} is not a container id`);
  const path = `${parent}/${id}`;
  return mode.unified ? onV2(mode, mode.unified, path, resources) : onV1(mode, path, resources, cpusets);
};

const onV1 = (mode: CgroupMode, path: string, resources: OciResources, cpusets: readonly CpusetState[]): CgroupPlan => {
  const directories = mode.hierarchies.map(({ mount }) => mount + path);
  return {
    cgroup: {
      make: directories.map((directory) => ({ directory, version: 1 })),
      writes: [...cpusetWrites(mode, path, resources.cpu, cpusets), ...v1Writes(mode, path, resources)],
      join: directories.map((directory) => `${directory}/tasks`),
    },
    directories,
    path,
  };
};

const onV2 = (
  mode: CgroupMode,
  unified: NonNullable<CgroupMode['unified']>,
  path: string,
  resources: OciResources,
): CgroupPlan => {
  const directory = unified.mount + path;
  return {
    cgroup: {
      make: [{ directory, version: 2 }],
      writes: [...enableWrites(unified, ancestors(path)), ...v2Writes(mode, unified, path, resources)],
      join: [],
      into: directory,
    },
    directories: [directory],
    path,
  };
};
