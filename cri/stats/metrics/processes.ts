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

/** Of all processes of a cgroup, each looked at in /proc. One that has just ended counts no more. */
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
  const size = unlessGone(() => statSync(directory).size, 0);
  const names = size > 0 && size < mostAtOnce ? namesAtOnce(directory) : namesOneByOne(directory);
  for (const name of names) yield targetOf(`${directory}/${name}`);
}

const mostAtOnce = 256;

/** A tenth of what it costs to read it entry by entry. */
const namesAtOnce = (directory: string): readonly string[] => unlessGone(() => readdirSync(directory), []);

function* namesOneByOne(directory: string): Generator<string> {
  const entries = unlessGone(() => opendirSync(directory), undefined);
  if (entries === undefined) return;
  try {
    for (;;) {
      const name = unlessGone(() => entries.readSync(), null)?.name;
      if (name === undefined) return;
      yield name;
    }
  } finally {
    entries.closeSync();
  }
}

/** ENAMETOOLONG: of a file far down, as every container can make one. */
const targetOf = (path: string): string => unlessGone(() => readlinkSync(path), '');

const gone = ['ENOENT', 'ESRCH', 'ENAMETOOLONG'];

const unlessGone = <T>(read: () => T, otherwise: T): T => {
  try {
    return read();
  } catch (error) {
    if (gone.includes(errnoOf(error) ?? '')) return otherwise;
    throw error;
  }
};

/** The soft limit of open files of a process; undefined when it has ended. */
export const openFilesLimit = (pid: number): bigint | undefined => {
  const soft = /^Max open files\s+(\d+)/m.exec(readKernelFile(`/proc/${pid}/limits`) ?? '')?.[1];
  return soft === undefined ? undefined : BigInt(soft);
};
