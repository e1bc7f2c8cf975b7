import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { BerthError, errnoOf } from '../../base/errors.ts';
import type { OciResources } from '../../shim/oci.ts';
import { missingFrom, parseList } from './list.ts';
import { type CgroupMode, hierarchyOf } from './mode.ts';
import { ancestors } from './parent.ts';
import type { CgroupWrite } from './write.ts';

/** What a cpuset cgroup of v1 has; empty where nothing is set or the directory is missing. */
export interface CpusetState {
  readonly cpus: string;
  readonly mems: string;
}

// The kernel answers from memory: without leaving this thread it takes microseconds, over the thread pool milliseconds.
const readText = (path: string): string => {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return '';
    throw error;
  }
};

const readState = (directory: string): CpusetState => ({
  cpus: readText(join(directory, 'cpuset.cpus')),
  mems: readText(join(directory, 'cpuset.mems')),
});

/** The cpusets of the hierarchy's root and of every directory from there to `parent`; none where v1 has no cpuset. */
export const readCpusets = (mode: CgroupMode, parent: string): readonly CpusetState[] => {
  const mount = hierarchyOf(mode, 'cpuset')?.mount;
  if (mount === undefined) return [];
  return ['', ...ancestors(parent), parent].map((path) => readState(mount + path));
};

const writes = (directory: string, { cpus, mems }: CpusetState): readonly CgroupWrite[] => [
  ...(cpus ? [{ file: `${directory}/cpuset.cpus`, value: cpus }] : []),
  ...(mems ? [{ file: `${directory}/cpuset.mems`, value: mems }] : []),
];

// The kernel refuses more than the parent has, at the start and with nothing but EACCES.
const within = (wanted: string | undefined, parent: string, field: string): string => {
  if (wanted === undefined) return parent;
  if (missingFrom(parseList(wanted) ?? [], parseList(parent) ?? []) === undefined) return wanted;
  throw new BerthError(
    'failed-precondition',
    `${field}: ${wanted} is not within ${parent}, which the pod’s cgroup has`,
  );
};

/**
 * cgroup v2 takes what the parent does not have, and then gives all of the parent's in its place (cgroup-v2.rst, cpuset.cpus).
 * `parent` may not be there yet: then the nearest above it counts.
 */
export const checkV2Cpuset = (mount: string, parent: string, cpu: OciResources['cpu']): void => {
  const effective = (name: string): string => {
    for (const path of [parent, ...ancestors(parent).toReversed(), '']) {
      const text = readText(`${mount}${path}/${name}`);
      if (text !== '') return text;
    }
    return '';
  };
  if (cpu?.cpus !== undefined) within(cpu.cpus, effective('cpuset.cpus.effective'), 'cpuset_cpus');
  if (cpu?.mems !== undefined) within(cpu.mems, effective('cpuset.mems.effective'), 'cpuset_mems');
};

/**
 * A new v1 cpuset has no processors and no memory, and no process may join it: each directory on the way that is empty takes what
 * its parent has (cgroup-v1/cpusets.rst, 1.3), and the container what is asked for, else the same.
 */
export const cpusetWrites = (
  mode: CgroupMode,
  path: string,
  cpu: OciResources['cpu'],
  states: readonly CpusetState[],
): CgroupWrite[] => {
  const mount = hierarchyOf(mode, 'cpuset')?.mount;
  const [root, ...above] = states;
  const field = cpu?.cpus === undefined ? 'cpuset_mems' : 'cpuset_cpus';
  if (mount === undefined && (cpu?.cpus ?? cpu?.mems) !== undefined)
    throw new BerthError('failed-precondition', `${field}: this machine has no cgroup controller cpuset`);
  if (mount === undefined || root === undefined) return [];
  const made: CgroupWrite[] = [];
  let inherited = root;
  for (const [index, directory] of ancestors(path).entries()) {
    const { cpus = '', mems = '' } = above[index] ?? {};
    made.push(...writes(mount + directory, { cpus: cpus ? '' : inherited.cpus, mems: mems ? '' : inherited.mems }));
    inherited = { cpus: cpus || inherited.cpus, mems: mems || inherited.mems };
  }
  const own = {
    cpus: within(cpu?.cpus, inherited.cpus, 'cpuset_cpus'),
    mems: within(cpu?.mems, inherited.mems, 'cpuset_mems'),
  };
  return [...made, ...writes(mount + path, own)];
};
