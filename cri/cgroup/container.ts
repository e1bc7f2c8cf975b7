import { dirname } from 'node:path';
import type { OciResources } from '../../shim/oci.ts';
import { type CpusetState, checkV2Cpuset, cpusetWrites, readCpusets } from './cpuset.ts';
import { deviceProgram } from './device-program.ts';
import { checkMachine, readMachine } from './machine.ts';
import type { CgroupMode } from './mode.ts';
import { ancestors } from './parent.ts';
import { placeOf } from './place.ts';
import { v1Writes } from './v1.ts';
import { controllersOfContainers, enableWrites, v2Writes } from './v2.ts';
import type { CgroupWrite } from './write.ts';

/** What the native side does before it clones: make directories (parents too), write files in order, join. */
export interface ContainerCgroup {
  make: { directory: string; version: 1 | 2 }[];
  writes: CgroupWrite[];
  /** v1: the `tasks` files that the container's process writes itself into. */
  join: string[];
  /** v2: the directory that the process is cloned into. */
  into?: string;
  /** v2: where the host has it. */
  mount?: string;
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
  isScope = false,
): ContainerCgroup => {
  if (mode.unified) return onV2(mode, mode.unified, path, resources, isScope);
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
  isScope: boolean,
): ContainerCgroup => {
  const directory = unified.mount + path;
  // systemd hands down what it knows of to a scope that is delegated.
  const wanted = isScope ? ['hugetlb'] : controllersOfContainers;
  const program = deviceProgram(resources.devices);
  return {
    make: [{ directory, version: 2 }],
    writes: [...enableWrites(unified, ancestors(path), wanted), ...v2Writes(mode, unified, path, resources)],
    join: [],
    into: directory,
    mount: unified.mount,
    ...(program === undefined ? {} : { devices: { directory, program } }),
  };
};

/**
 * The same for the OCI spec's `cgroupsPath`, checked; reads what v1's cpusets and the machine have today.
 * Errors: invalid-argument for processors, memory nodes and page sizes that are not there.
 */
export const containerCgroup = (mode: CgroupMode, cgroupsPath: string, resources: OciResources): ContainerCgroup => {
  const { path, units } = placeOf(cgroupsPath);
  const parent = dirname(path);
  checkMachine(resources, readMachine());
  if (mode.unified?.controllers.includes('cpuset')) checkV2Cpuset(mode.unified.mount, parent, resources.cpu);
  return cgroupFor(mode, path, resources, readCpusets(mode, parent), units !== undefined);
};
