import { readdir, readFile, readlink } from 'node:fs/promises';
import { orMissing } from '../base/errors.ts';

/**
 * CPU time of the whole machine in nanoseconds, without this process: what a call costs, whoever works for it (daemon,
 * agent, supervisor, plugins, the peer's shims). On a machine that does nothing else.
 */
export const machineCpu = async (): Promise<number> => {
  const { user, system } = process.cpuUsage();
  return (await total()) - (user + system) * 1000;
};

const total = async (): Promise<number> => {
  for (const path of ['/sys/fs/cgroup/cpuacct/cpuacct.usage', '/sys/fs/cgroup/cpu,cpuacct/cpuacct.usage']) {
    const text = await orMissing(readFile(path, 'utf8'));
    if (text !== undefined) return Number(text);
  }
  const stat = await readFile('/sys/fs/cgroup/cpu.stat', 'utf8');
  return Number(/^usage_usec (\d+)$/m.exec(stat)?.[1] ?? Number.NaN) * 1000;
};

const ticksASecond = 100;

/**
 * CPU seconds that processes with such names have taken, also on a machine that does much else. `like`: only those in the mount
 * namespace of this pid. `children`: with those that they have waited for.
 */
export const cpuOf = async (
  proc: string,
  names: RegExp,
  like: string | undefined,
  children: boolean,
): Promise<number> => {
  const namespaceOf = (pid: string): Promise<string> => readlink(`${proc}/${pid}/ns/mnt`);
  const wanted = like === undefined ? undefined : await namespaceOf(like);
  const seconds = async (pid: string): Promise<number> => {
    // "1 (name) S …": user, system, and the same of children are fields 14 to 17
    const [head = '', tail = ''] = (await readFile(`${proc}/${pid}/stat`, 'utf8')).split(/\) (?=[^)]*$)/);
    if (!names.test(head.slice(head.indexOf('(') + 1))) return 0;
    if (wanted !== undefined && (await namespaceOf(pid)) !== wanted) return 0;
    const ticks = tail.split(' ').slice(11, children ? 15 : 13);
    return ticks.reduce((sum, text) => sum + Number(text), 0) / ticksASecond;
  };
  const pids = (await readdir(proc)).filter((name) => /^\d+$/.test(name));
  const all = await Promise.all(pids.map((pid) => seconds(pid).catch(() => 0)));
  return all.reduce((sum, one) => sum + one, 0);
};
