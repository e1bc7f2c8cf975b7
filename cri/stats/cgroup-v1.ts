import { type CgroupMode, hierarchyOf } from '../cgroup/mode.ts';
import type { CgroupFigures, MemoryFigures } from './figures.ts';
import { readKernelFile } from './kernel-file.ts';
import { parseCount, parseKeyed, parseLimit } from './parse.ts';

/** cgroup-v1/memory.rst and cpuacct.rst; v1 has no pressure. `path` is below each hierarchy's mount. */
export const readV1 = (mode: CgroupMode, path: string): Omit<CgroupFigures, 'at'> => ({
  cpu: parseCount(read(mode, 'cpuacct', path, 'cpuacct.usage')),
  memory: readMemory(mode, path),
  processes: parseCount(read(mode, 'pids', path, 'pids.current')),
  pressure: { cpu: undefined, memory: undefined, io: undefined },
});

/** CPU time alone, in nanoseconds. */
export const readV1Cpu = (mode: CgroupMode, path: string): bigint | undefined =>
  parseCount(read(mode, 'cpuacct', path, 'cpuacct.usage'));

const read = (mode: CgroupMode, controller: string, path: string, file: string): string | undefined => {
  const hierarchy = hierarchyOf(mode, controller);
  return hierarchy && readKernelFile(`${hierarchy.mount}${path}/${file}`);
};

const readMemory = (mode: CgroupMode, path: string): MemoryFigures | undefined => {
  const file = (name: string): string | undefined => read(mode, 'memory', path, name);
  const usage = parseCount(file('memory.usage_in_bytes'));
  const stat = parseKeyed(file('memory.stat') ?? '');
  if (usage === undefined || stat.size === 0) return undefined;
  const inactive = stat.get('total_inactive_file') ?? 0n;
  const limit = parseLimit(file('memory.limit_in_bytes'));
  const both = mode.swap ? parseLimit(file('memory.memsw.limit_in_bytes')) : undefined;
  return {
    usage,
    workingSet: usage > inactive ? usage - inactive : 0n,
    rss: stat.get('total_rss') ?? 0n,
    limit,
    swap: stat.get('total_swap') ?? 0n,
    // v1 limits memory and swap together.
    swapLimit: both === undefined || limit === undefined ? undefined : both - limit,
    faults: stat.get('total_pgfault') ?? 0n,
    majorFaults: stat.get('total_pgmajfault') ?? 0n,
  };
};
