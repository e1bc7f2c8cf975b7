import type { CgroupMode } from '../cgroup/mode.ts';
import { now } from '../runtime.ts';
import { readV1, readV1Cpu } from './cgroup-v1.ts';
import { readV2, readV2Cpu } from './cgroup-v2.ts';
import type { CgroupFigures } from './figures.ts';

/** Reads what the kernel counts of the cgroup at `path` below each hierarchy's mount; most of it is missing when it has gone. */
export const readCgroup = (mode: CgroupMode, path: string): CgroupFigures => ({
  at: now(),
  ...(mode.unified === undefined ? readV1(mode, path) : readV2(mode.unified.mount + path)),
});

/** Nanoseconds of CPU time; undefined when the cgroup is not there. */
export const readCpu = (mode: CgroupMode, path: string): bigint | undefined =>
  mode.unified === undefined ? readV1Cpu(mode, path) : readV2Cpu(mode.unified.mount + path);
