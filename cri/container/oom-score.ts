import { constants } from 'node:fs';
import { open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { errnoOf, orMissing } from '../../base/errors.ts';
import { writeKernelFile } from '../../base/files.ts';
import type { Container } from '../state/container.ts';

/** Of the cgroup and those below it, which a container may have made. */
const processesIn = async (directory: string): Promise<readonly string[]> => {
  const text = (await orMissing(readFile(join(directory, 'cgroup.procs'), 'utf8'))) ?? '';
  const entries = (await orMissing(readdir(directory, { withFileTypes: true }))) ?? [];
  const below = entries.filter((entry) => entry.isDirectory()).map(({ name }) => processesIn(join(directory, name)));
  return [...text.split('\n').filter((line) => line !== ''), ...(await Promise.all(below)).flat()];
};

/** Through a descriptor of its directory: a number alone may by now be a process of somebody else. */
const change = async (pid: string, container: Container, from: number, to: number): Promise<boolean> => {
  const directory = await open(`/proc/${pid}`, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const at = (name: string): string => `/proc/self/fd/${directory.fd}/${name}`;
    const [cgroup, score] = await Promise.all([readFile(at('cgroup'), 'utf8'), readFile(at('oom_score_adj'), 'utf8')]);
    if (!cgroup.includes(container.id) || Number(score) !== from) return false;
    await writeKernelFile(at('oom_score_adj'), `${to}`);
    return true;
  } finally {
    await directory.close();
  }
};

const isGone = (error: unknown): boolean => ['ENOENT', 'ESRCH'].includes(errnoOf(error) ?? '');

/** More than a container forks meanwhile. */
const passes = 10;

/**
 * Sets the score of every process of a running container that has the one that the container had; one that chose its own
 * keeps it. The kernel hands it to children, so it is done again until none is found.
 */
export const changeOomScore = async (container: Container, from: number, to: number): Promise<void> => {
  const [directory] = container.record.cgroups;
  if (directory === undefined || from === to) return;
  for (let pass = 0; pass < passes; pass += 1) {
    let changed = false;
    for (const pid of await processesIn(directory))
      changed =
        (await change(pid, container, from, to).catch((error: unknown) => {
          if (isGone(error)) return false;
          throw error;
        })) || changed;
    if (!changed) return;
  }
};
