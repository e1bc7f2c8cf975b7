import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { BerthError, errnoOf } from '../../base/errors.ts';
import type { OciResources } from '../../shim/oci.ts';
import { deviceUndo } from './block-io.ts';
import { fieldOf } from './field.ts';
import { type CgroupMode, hierarchyOf } from './mode.ts';
import { v1Writes } from './v1.ts';
import { v2Writes } from './v2.ts';
import type { CgroupWrite } from './write.ts';

/** The writes of an update and those that put back what was there before, each in an order that the kernel takes. */
export interface Change {
  readonly writes: readonly CgroupWrite[];
  readonly undo: readonly Undo[];
}

export interface Undo extends CgroupWrite {
  /** All that the file held before. */
  readonly text: string;
}

/** Of writes that the kernel refused: those whose files do not hold what they held before. */
export const notUndone = (refused: readonly Undo[]): readonly Undo[] =>
  refused.filter(({ file, text }) => current(file) !== text);

const cpusets = (mode: CgroupMode, path: string, { cpus, mems }: NonNullable<OciResources['cpu']>): CgroupWrite[] => {
  const mount = hierarchyOf(mode, 'cpuset')?.mount;
  const wanted = { 'cpuset.cpus': cpus, 'cpuset.mems': mems };
  return Object.entries(wanted).flatMap(([name, value]) => {
    if (value === undefined) return [];
    if (mount === undefined)
      throw new BerthError('failed-precondition', `${fieldOf(name)}: this machine has no cgroup controller cpuset`);
    return [{ file: `${mount}${path}/${name}`, value }];
  });
};

const named = (writes: readonly CgroupWrite[], name: string): CgroupWrite | undefined =>
  writes.find(({ file }) => basename(file) === name);

const swapped = (writes: readonly CgroupWrite[], one: CgroupWrite, other: CgroupWrite): CgroupWrite[] =>
  writes.map((write) => (write === one ? other : write === other ? one : write));

const unlimited = (text: string): number => (Number(text) < 0 ? Number.POSITIVE_INFINITY : Number(text));

/** Memory and swap together may at no time be less than memory alone (cgroup-v1/memory.rst). */
const memoryOrder = (writes: readonly CgroupWrite[], now: Values): readonly CgroupWrite[] => {
  const limit = named(writes, 'memory.limit_in_bytes');
  const both = named(writes, 'memory.memsw.limit_in_bytes');
  if (limit === undefined || both === undefined) return writes;
  return unlimited(both.value) > unlimited(now(limit.file)) ? swapped(writes, limit, both) : writes;
};

/** The share of a processor on the way from one to the other may not be more than the pod's: take the lesser of both. */
const bandwidthOrder = (writes: readonly CgroupWrite[], now: Values): readonly CgroupWrite[] => {
  const period = named(writes, 'cpu.cfs_period_us');
  const quota = named(writes, 'cpu.cfs_quota_us');
  if (period === undefined || quota === undefined) return writes;
  const periodFirst = unlimited(now(quota.file)) / Number(period.value);
  const quotaFirst = unlimited(quota.value) / Number(now(period.file));
  return quotaFirst < periodFirst ? swapped(writes, period, quota) : writes;
};

type Values = (file: string) => string;

// From memory, as in cpuset.ts. What cannot be read could not be put back.
const current: Values = (file) => {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    const code = errnoOf(error) === 'ENOENT' ? 'invalid-argument' : 'failed-precondition';
    throw new BerthError(code, `${fieldOf(file)}: ${errnoOf(error)}: this kernel has no such setting`, {
      cause: error,
    });
  }
};

/** An empty text would be no write at all; of a weight the first line is the cgroup's own. */
const before = (file: string, value: string, text: string): string =>
  deviceUndo(file, value, text) ?? (text.split('\n')[0] || '\n');

/** `changed` is the part of the limits that an update sets, `path` the container's. Reads the files as they are now. */
export const limitChange = (mode: CgroupMode, path: string, changed: OciResources, now: Values = current): Change => {
  const limits = mode.unified
    ? v2Writes(mode, mode.unified, path, changed)
    : [...cpusets(mode, path, changed.cpu ?? {}), ...v1Writes(mode, path, changed)];
  const there = limits.filter(({ file, optional }) => optional === undefined || existsSync(file));
  const writes = bandwidthOrder(memoryOrder(there, now), now);
  const undo = writes.map(({ file, value }): Undo => {
    const text = now(file);
    return { file, value: before(file, value, text), text };
  });
  return { writes, undo: undo.toReversed() };
};
