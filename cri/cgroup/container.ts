import { basename, dirname } from 'node:path';
import { isId } from '../../base/digest.ts';
import { invalid } from '../../base/errors.ts';
import type { OciResources } from '../../shim/oci.ts';
import { type CpusetState, checkV2Cpuset, cpusetWrites, readCpusets } from './cpuset.ts';
import { deviceProgram } from './device-program.ts';
import { checkMachine, readMachine } from './machine.ts';
import type { CgroupMode } from './mode.ts';
import { ancestors, cgroupParent } from './parent.ts';
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
  /** v2: the device rules, compiled; missing where all devices are allowed. */
  devices?: { directory: string; program: Uint8Array };
}

/**
 * The cgroup at `path` below each hierarchy's mount: a pod's parent and the container's id. `cpusets` is what `readCpusets` gave for
 * the parent. Errors: failed-precondition for a limit whose controller the machine lacks.
 */
export const cgroupFor = (
  mode: CgroupMode,
  path: string,
  resources: OciResources,
  cpusets: readonly CpusetState[],
): ContainerCgroup => {
  if (mode.unified) return onV2(mode, mode.unified, path, resources);
  const directories = mode.hierarchies.map(({ mount }) => mount + path);
  return {
    make: directories.map((directory) => ({ directory, version: 1 })),
    writes: [...cpusetWrites(mode, path, resources.cpu, cpusets), ...v1Writes(mode, path, resources)],
    join: directories.map((directory) => `${directory}/tasks`),
  };
};

const onV2 = (
  mode: CgroupMode,
  unified: NonNullable<CgroupMode['unified']>,
  path: string,
  resources: OciResources,
): ContainerCgroup => {
  const directory = unified.mount + path;
  const program = deviceProgram(resources.devices);
  return {
    make: [{ directory, version: 2 }],
    writes: [...enableWrites(unified, ancestors(path)), ...v2Writes(mode, unified, path, resources)],
    join: [],
    into: directory,
    ...(program === undefined ? {} : { devices: { directory, program } }),
  };
};

/**
 * The same for `path` as it is in the OCI spec's `cgroupsPath`, checked; reads what v1's cpusets and the machine have today.
 * Errors: invalid-argument for processors, memory nodes and page sizes that are not there.
 */
export const containerCgroup = (mode: CgroupMode, path: string, resources: OciResources): ContainerCgroup => {
  const id = basename(path);
  if (!isId(id)) throw invalid(`cgroup: ${JSON.stringify(id.slice(0, 80))} is not a container id`);
  const parent = cgroupParent(dirname(path), '');
  checkMachine(resources, readMachine());
  if (mode.unified?.controllers.includes('cpuset')) checkV2Cpuset(mode.unified.mount, parent, resources.cpu);
  return cgroupFor(mode, `${parent}/${id}`, resources, readCpusets(mode, parent));
};
