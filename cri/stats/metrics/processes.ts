import { opendirSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { errnoOf } from '../../../base/errors.ts';
import type { CgroupMode } from '../../cgroup/mode.ts';
import { cgroupDirectories } from '../../container/cgroup.ts';
import type { Pause } from '../in-slices.ts';
import { readKernelFile } from '../kernel-file.ts';

export interface ProcessFigures {
  readonly processes: bigint;
  readonly descriptors: bigint;
  readonly sockets: bigint;
}

/** Of all processes of a cgroup, each looked at in /proc. One that has just ended counts no more, and of one that may not be looked into its open files do not. */
export const readProcesses = async (mode: CgroupMode, path: string, pause: Pause): Promise<ProcessFigures> => {
  const [directory = ''] = cgroupDirectories(mode, path);
  const pids = (readKernelFile(`${directory}/cgroup.procs`) ?? '').split('\n').filter((pid) => pid !== '');
  let [descriptors, sockets, inTurn] = [0, 0, 0];
  for (const target of openFiles(pids)) {
    descriptors += 1;
    if (target.startsWith('socket:')) sockets += 1;
    // One process may have a million.
    inTurn = (inTurn + 1) % mostInTurn;
    if (inTurn === 0) await pause();
  }
  return { processes: BigInt(pids.length), descriptors: BigInt(descriptors), sockets: BigInt(sockets) };
};

const mostInTurn = 64;

function* openFiles(pids: readonly string[]): Generator<string> {
  for (const pid of pids) yield* openFilesOf(`/proc/${pid}/fd`);
}

function* openFilesOf(directory: string): Generator<string> {
  // Linux >= 6.2 tells how many there are.
  const size = unlessUnseen(() => statSync(directory).size, 0);
  const names = size > 0 && size < mostAtOnce ? namesAtOnce(directory) : namesOneByOne(directory);
  for (const name of names) yield targetOf(`${directory}/${name}`);
}

const mostAtOnce = 256;

/** A tenth of what it costs to read it entry by entry. */
const namesAtOnce = (directory: string): readonly string[] => unlessUnseen(() => readdirSync(directory), []);

function* namesOneByOne(directory: string): Generator<string> {
  const entries = unlessUnseen(() => opendirSync(directory), undefined);
  if (entries === undefined) return;
  try {
    for (;;) {
      const name = unlessUnseen(() => entries.readSync(), null)?.name;
      if (name === undefined) return;
      yield name;
    }
  } finally {
    entries.closeSync();
  }
}

/** ENAMETOOLONG: of a file far down, as every container can make one. */
const targetOf = (path: string): string => unlessUnseen(() => readlinkSync(path), '');

/** Gone, or hidden by a security module: what of one process cannot be seen must not hide the others, or the other metrics. */
const unseen = ['ENOENT', 'ESRCH', 'ENAMETOOLONG', 'EACCES', 'EPERM'];

const unlessUnseen = <T>(read: () => T, otherwise: T): T => {
  try {
    return read();
  } catch (error) {
    if (unseen.includes(errnoOf(error) ?? '')) return otherwise;
    throw error;
  }
};

/** The soft limit of open files of a process; undefined when it has ended or may not be looked into. */
export const openFilesLimit = (pid: number): bigint | undefined => {
  const soft = /^Max open files\s+(\d+)/m.exec(
    unlessUnseen(() => readKernelFile(`/proc/${pid}/limits`), '') ?? '',
  )?.[1];
  return soft === undefined ? undefined : BigInt(soft);
};
