import type { CgroupFigures, MemoryFigures, Pressure } from './figures.ts';
import { readKernelFile } from './kernel-file.ts';
import { parseCount, parseKeyed, parseLimit, parsePressure } from './parse.ts';

/** cgroup-v2.rst; `directory` is the cgroup's own. */
export const readV2 = (directory: string): Omit<CgroupFigures, 'at'> => {
  const pressure = (name: string): Pressure | undefined =>
    parsePressure(readKernelFile(`${directory}/${name}.pressure`));
  return {
    cpu: readV2Cpu(directory),
    memory: readMemory(directory),
    processes: parseCount(readKernelFile(`${directory}/pids.current`)),
    pressure: { cpu: pressure('cpu'), memory: pressure('memory'), io: pressure('io') },
  };
};

/** CPU time alone, in nanoseconds. */
export const readV2Cpu = (directory: string): bigint | undefined => {
  const microseconds = parseKeyed(readKernelFile(`${directory}/cpu.stat`) ?? '').get('usage_usec');
  return microseconds === undefined ? undefined : microseconds * 1000n;
};

const readMemory = (directory: string): MemoryFigures | undefined => {
  const file = (name: string): string | undefined => readKernelFile(`${directory}/memory.${name}`);
  const usage = parseCount(file('current'));
  const stat = parseKeyed(file('stat') ?? '');
  if (usage === undefined || stat.size === 0) return undefined;
  const inactive = stat.get('inactive_file') ?? 0n;
  return {
    usage,
    workingSet: usage > inactive ? usage - inactive : 0n,
    rss: stat.get('anon') ?? 0n,
    limit: parseLimit(file('max')),
    swap: parseCount(file('swap.current')) ?? 0n,
    swapLimit: parseLimit(file('swap.max')),
    faults: stat.get('pgfault') ?? 0n,
    majorFaults: stat.get('pgmajfault') ?? 0n,
  };
};
