import { type CgroupMode, hierarchyOf } from '../cgroup/mode.ts';
import { countIn, Keys } from './counts.ts';
import type { CgroupFigures, MemoryFigures } from './figures.ts';
import { type KeptFiles, text } from './kept-files.ts';
import { limitOf } from './parse.ts';

/** cgroup-v1/memory.rst and cpuacct.rst: the places of `v1Files`. The first is what is sampled. */
const at = { cpu: 0, stat: 1, usage: 2, limit: 3, both: 4, processes: 5 } as const;

const v1Files: readonly (readonly [controller: string, name: string])[] = [
  ['cpuacct', 'cpuacct.usage'],
  ['memory', 'memory.stat'],
  ['memory', 'memory.usage_in_bytes'],
  ['memory', 'memory.limit_in_bytes'],
  ['memory', 'memory.memsw.limit_in_bytes'],
  ['pids', 'pids.current'],
];

/** `path` is below each hierarchy's mount; "" where the machine has no such file. */
export const v1Paths = (mode: CgroupMode, path: string): readonly string[] =>
  v1Files.map(([controller, name], place) => {
    const hierarchy = place === at.both && !mode.swap ? undefined : hierarchyOf(mode, controller);
    return hierarchy === undefined ? '' : `${hierarchy.mount}${path}/${name}`;
  });

/** v1 has no pressure. */
export const readV1 = (files: KeptFiles): Pick<CgroupFigures, 'cpu' | 'memory' | 'pressure'> => ({
  cpu: readV1Cpu(files),
  memory: readMemory(files),
  pressure: { cpu: undefined, memory: undefined, io: undefined },
});

const count = (files: KeptFiles, place: number): bigint | undefined => countIn(text, 0, files.read(place));

/** CPU time alone, in nanoseconds. */
export const readV1Cpu = (files: KeptFiles): bigint | undefined => count(files, at.cpu);

export const readV1Processes = (files: KeptFiles): bigint | undefined => count(files, at.processes);

const keys = new Keys(
  ...['total_inactive_file', 'total_rss', 'total_cache', 'total_mapped_file'],
  ...['total_swap', 'total_pgfault', 'total_pgmajfault', 'total_active_file'],
);

const readMemory = (files: KeptFiles): MemoryFigures | undefined => {
  const length = files.read(at.stat);
  if (length <= 0) return undefined;
  const [inactive = 0n, rss = 0n, cache = 0n, mapped = 0n, swap = 0n, ...more] = keys.in(text, length);
  const [faults = 0n, majorFaults = 0n, active = 0n] = more;
  const usage = count(files, at.usage);
  if (usage === undefined) return undefined;
  const limit = limitOf(count(files, at.limit));
  const both = limitOf(count(files, at.both));
  return {
    usage,
    workingSet: usage > inactive ? usage - inactive : 0n,
    rss,
    cache,
    activeFile: active,
    inactiveFile: inactive,
    mapped,
    limit,
    swap,
    // v1 limits memory and swap together.
    swapLimit: both === undefined || limit === undefined ? undefined : both - limit,
    faults,
    majorFaults,
  };
};
