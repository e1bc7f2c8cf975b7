import { readdir, readFile, readlink } from 'node:fs/promises';
import type { Place } from './place.ts';

export interface Process {
  readonly pid: number;
  readonly name: string;
  /** Its proportional share of memory, in KiB; undefined where it cannot be read. */
  readonly pss: number | undefined;
}

const read = (pid: number, file: string): Promise<string> => readFile(`/proc/${pid}/${file}`, 'utf8').catch(() => '');

/** It works in our directory, was started with a path in it, or is in our cgroup. */
const isOurs = async (pid: number, { directory, cgroup }: Place): Promise<boolean> => {
  const [command, groups, cwd] = await Promise.all([
    read(pid, 'cmdline'),
    read(pid, 'cgroup'),
    readlink(`/proc/${pid}/cwd`).catch(() => ''),
  ]);
  return command.includes(directory) || cwd.startsWith(directory) || groups.includes(`/${cgroup}`);
};

const describe = async (pid: number): Promise<Process> => {
  const [name, rollup] = await Promise.all([read(pid, 'comm'), read(pid, 'smaps_rollup')]);
  const pss = /^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1];
  return { pid, name: name.trim(), pss: pss === undefined ? undefined : Number(pss) };
};

export const ownProcesses = async (place: Place): Promise<Process[]> => {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const ours = await Promise.all(
    pids.map(async (pid) => ({ pid, mine: pid !== process.pid && (await isOurs(pid, place)) })),
  );
  return Promise.all(ours.filter(({ mine }) => mine).map(({ pid }) => describe(pid)));
};

/** What the processes take that were not there before, by name: `464 KiB: 2 × berth-shim 368 KiB, 2 × hello 96 KiB`. */
export const memoryInWords = (before: readonly Process[], after: readonly Process[]): string => {
  const added = after.filter(({ pid }) => !before.some((process) => process.pid === pid));
  const names = [...new Set(added.map(({ name }) => name))];
  const sum = (list: readonly Process[]): number => list.reduce((total, { pss }) => total + (pss ?? 0), 0);
  const parts = names.map((name) => {
    const group = added.filter((process) => process.name === name);
    return `${group.length} × ${name} ${sum(group)} KiB`;
  });
  return `${sum(added)} KiB: ${parts.join(', ')}`;
};
