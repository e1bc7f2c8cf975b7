import { readFile } from 'node:fs/promises';
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
