import type { Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { containerCgroup, podCgroup } from './cpu-sampler.ts';
import type { CgroupFigures, MemoryFigures } from './figures.ts';

/** What a cgroup holds and has used, and how fast it uses the CPU, in nanoseconds a second. */
export interface Reading {
  readonly figures: CgroupFigures;
  readonly nanoCores: bigint | undefined;
}

/** Undefined when it does not run, also when it has just ended and nobody has told yet. */
export const readContainer = (runtime: Runtime, container: Container): Reading | undefined => {
  const path = containerCgroup(runtime.cgroups, container);
  return path === undefined ? undefined : read(runtime, path);
};

/** The pod's own cgroup with all that is in it; where it has none, its containers together. */
export const readPod = (
  runtime: Runtime,
  sandbox: Sandbox,
  containers: readonly (Reading | undefined)[],
): Reading | undefined => {
  const path = podCgroup(sandbox);
  if (path !== undefined) return read(runtime, path);
  const running = containers.filter((reading) => reading !== undefined);
  return running.reduce<Reading | undefined>((sum, reading) => (sum ? together(sum, reading) : reading), undefined);
};

const read = (runtime: Runtime, path: string): Reading | undefined => {
  const figures = runtime.cgroupReader.figures(path);
  if (figures.cpu === undefined && figures.memory === undefined) return undefined;
  return { figures, nanoCores: runtime.cpuSampler.nanoCores(path, figures) };
};

/** How many processes and threads of the pod there are, counted as `readPod` does. */
export const podProcesses = (runtime: Runtime, sandbox: Sandbox, containers: readonly Container[]): Count => {
  const path = podCgroup(sandbox);
  if (path !== undefined) return runtime.cgroupReader.processes(path);
  const paths = containers.map((container) => containerCgroup(runtime.cgroups, container));
  return paths
    .map((one) => (one === undefined ? undefined : runtime.cgroupReader.processes(one)))
    .reduce(plus, undefined);
};

type Count = bigint | undefined;

const plus = (a: Count, b: Count): Count => (a === undefined || b === undefined ? (a ?? b) : a + b);

/** No sum has a meaning for shares of time, and limits of containers are none of the pod. */
const together = (a: Reading, b: Reading): Reading => ({
  figures: {
    at: a.figures.at,
    steadyAt: a.figures.steadyAt,
    cpu: plus(a.figures.cpu, b.figures.cpu),
    memory: memoryTogether(a.figures.memory, b.figures.memory),
    pressure: { cpu: undefined, memory: undefined, io: undefined },
  },
  nanoCores: plus(a.nanoCores, b.nanoCores),
});

const memoryTogether = (a: MemoryFigures | undefined, b: MemoryFigures | undefined): MemoryFigures | undefined =>
  a && b
    ? {
        usage: a.usage + b.usage,
        workingSet: a.workingSet + b.workingSet,
        rss: a.rss + b.rss,
        cache: a.cache + b.cache,
        activeFile: a.activeFile + b.activeFile,
        inactiveFile: a.inactiveFile + b.inactiveFile,
        mapped: a.mapped + b.mapped,
        limit: undefined,
        swap: a.swap + b.swap,
        swapLimit: undefined,
        faults: a.faults + b.faults,
        majorFaults: a.majorFaults + b.majorFaults,
      }
    : (a ?? b);
