import { existsSync } from 'node:fs';
import { countIn, Keys } from './counts.ts';
import type { CgroupFigures, MemoryFigures, Pressure } from './figures.ts';
import { type KeptFiles, text } from './kept-files.ts';
import { limitOf, parsePressure } from './parse.ts';

/** cgroup-v2.rst: the places of `v2Files`. The first is what is sampled. */
const at = {
  cpu: 0,
  stat: 1,
  usage: 2,
  limit: 3,
  swap: 4,
  swapLimit: 5,
  processes: 6,
  cpuPressure: 7,
  memoryPressure: 8,
  ioPressure: 9,
} as const;

const v2Files: readonly string[] = [
  'cpu.stat',
  'memory.stat',
  'memory.current',
  'memory.max',
  'memory.swap.current',
  'memory.swap.max',
  'pids.current',
  'cpu.pressure',
  'memory.pressure',
  'io.pressure',
];

/** A kernel that counts no pressure, or was started so, has none of this. */
const hasPressure = existsSync('/proc/pressure');

/** `directory` is the cgroup's own. */
export const v2Paths = (directory: string): readonly string[] =>
  v2Files.map((name) => (name.endsWith('.pressure') && !hasPressure ? '' : `${directory}/${name}`));

export const readV2 = (files: KeptFiles): Pick<CgroupFigures, 'cpu' | 'memory' | 'pressure'> => ({
  cpu: readV2Cpu(files),
  memory: readMemory(files),
  pressure: {
    cpu: readPressure(files, at.cpuPressure),
    memory: readPressure(files, at.memoryPressure),
    io: readPressure(files, at.ioPressure),
  },
});

const count = (files: KeptFiles, place: number): bigint | undefined => countIn(text, 0, files.read(place));

const cpuKeys = new Keys('usage_usec');

/** CPU time alone, in nanoseconds. */
export const readV2Cpu = (files: KeptFiles): bigint | undefined => {
  const [microseconds] = cpuKeys.in(text, files.read(at.cpu));
  return microseconds === undefined ? undefined : microseconds * 1000n;
};

export const readV2Processes = (files: KeptFiles): bigint | undefined => count(files, at.processes);

const readPressure = (files: KeptFiles, place: number): Pressure | undefined => {
  const length = files.read(place);
  return length <= 0 ? undefined : parsePressure(text.toString('latin1', 0, length));
};

const keys = new Keys('inactive_file', 'anon', 'file', 'file_mapped', 'pgfault', 'pgmajfault', 'active_file');

const readMemory = (files: KeptFiles): MemoryFigures | undefined => {
  const length = files.read(at.stat);
  if (length <= 0) return undefined;
  const [inactive = 0n, rss = 0n, cache = 0n, mapped = 0n, ...more] = keys.in(text, length);
  const [faults = 0n, majorFaults = 0n, active = 0n] = more;
  const usage = count(files, at.usage);
  if (usage === undefined) return undefined;
  return {
    usage,
    workingSet: usage > inactive ? usage - inactive : 0n,
    rss,
    cache,
    activeFile: active,
    inactiveFile: inactive,
    mapped,
    limit: limitOf(count(files, at.limit)),
    swap: count(files, at.swap) ?? 0n,
    swapLimit: limitOf(count(files, at.swapLimit)),
    faults,
    majorFaults,
  };
};
