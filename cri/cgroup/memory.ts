import { readFileSync } from 'node:fs';
import { BerthError } from '../../base/errors.ts';
import { type CgroupMode, hierarchyOf } from './mode.ts';
import type { CgroupWrite } from './write.ts';

const read = (path: string): string => readFileSync(path, 'utf8').trim();

/** The number behind a word that begins a line: "anon 4096", "SwapFree:  0 kB". */
const numberOf = (text: string, name: string): number =>
  Number(new RegExp(`^${name}:?\\s+(\\d+)`, 'm').exec(text)?.[1] ?? 0);

const swapRoom = (directory: string, max: string): number => {
  const free = numberOf(read('/proc/meminfo'), 'SwapFree') * 1024;
  return max === 'max'
    ? free
    : Math.max(0, Math.min(free, Number(max) - Number(read(`${directory}/memory.swap.current`))));
};

/** What a v2 cgroup cannot give back: without its page cache, and what may go to swap. */
const held = (directory: string, swap: string): number => {
  const stat = read(`${directory}/memory.stat`);
  const cache = ['active_file', 'inactive_file', 'slab_reclaimable'].reduce(
    (sum, name) => sum + numberOf(stat, name),
    0,
  );
  return Number(read(`${directory}/memory.current`)) - cache - swapRoom(directory, swap);
};

/**
 * cgroup v2 kills what does not fit below a new limit, v1 refuses it with EBUSY (cgroup-v1/memory.rst, cgroup-v2.rst):
 * here it is refused on both. Errors: failed-precondition with both numbers.
 */
export const checkFits = (mode: CgroupMode, path: string, writes: readonly CgroupWrite[]): void => {
  if (mode.unified === undefined) return;
  const directory = mode.unified.mount + path;
  const wanted = (name: string): string | undefined =>
    writes.find(({ file }) => file === `${directory}/${name}`)?.value;
  const limit = wanted('memory.max');
  if (limit === undefined || limit === 'max') return;
  const swap = wanted('memory.swap.max') ?? (mode.swap ? read(`${directory}/memory.swap.max`) : '0');
  const bytes = held(directory, mode.swap ? swap : '0');
  if (bytes > Number(limit)) throw doesNotFit(limit, bytes);
};

const doesNotFit = (limit: string, bytes: number): BerthError =>
  new BerthError(
    'failed-precondition',
    `memory_limit_in_bytes: ${limit} is less than the ${bytes} bytes that the container uses and cannot give back`,
  );

/** The kernel of v1 has tried to make room, and has told EBUSY. */
export const tooLow = (mode: CgroupMode, path: string, writes: readonly CgroupWrite[]): BerthError => {
  const limit = writes.find(({ file }) => file.endsWith('/memory.limit_in_bytes'))?.value ?? 'the limit';
  const directory = `${hierarchyOf(mode, 'memory')?.mount}${path}`;
  return doesNotFit(limit, Number(read(`${directory}/memory.usage_in_bytes`)));
};
