import { readdirSync, readlinkSync } from 'node:fs';
import { errnoOf } from '../../../base/errors.ts';
import type { CgroupMode } from '../../cgroup/mode.ts';
import { cgroupDirectories } from '../../container/cgroup.ts';
import { inSlices } from '../in-slices.ts';
import { readKernelFile } from '../kernel-file.ts';

export interface ProcessFigures {
  readonly processes: bigint;
  readonly descriptors: bigint;
  readonly sockets: bigint;
}

/** Of all processes of a cgroup, each looked at in /proc. One that has just ended counts no more. */
export const readProcesses = async (mode: CgroupMode, path: string): Promise<ProcessFigures> => {
  const [directory = ''] = cgroupDirectories(mode, path);
  const pids = (readKernelFile(`${directory}/cgroup.procs`) ?? '').split('\n').filter((pid) => pid !== '');
  let [descriptors, sockets] = [0, 0];
  for await (const open of inSlices(pids, openFiles)) {
    descriptors += open.length;
    sockets += open.filter((target) => target.startsWith('socket:')).length;
  }
  return { processes: BigInt(pids.length), descriptors: BigInt(descriptors), sockets: BigInt(sockets) };
};

const gone = ['ENOENT', 'ESRCH'];

const unlessGone = <T>(read: () => T, otherwise: T): T => {
  try {
    return read();
  } catch (error) {
    if (gone.includes(errnoOf(error) ?? '')) return otherwise;
    throw error;
  }
};

const openFiles = (pid: string): readonly string[] => {
  const directory = `/proc/${pid}/fd`;
  return unlessGone(() => readdirSync(directory), []).map((name) =>
    unlessGone(() => readlinkSync(`${directory}/${name}`), ''),
  );
};

/** The soft limit of open files of a process; undefined when it has ended. */
export const openFilesLimit = (pid: number): bigint | undefined => {
  const soft = /^Max open files\s+(\d+)/m.exec(readKernelFile(`/proc/${pid}/limits`) ?? '')?.[1];
  return soft === undefined ? undefined : BigInt(soft);
};
