import { readFile } from 'node:fs/promises';

/**
 * Milliseconds in which a process's first thread could have run and other programs had the processors, since its start: the second
 * number of the kernel's schedstat, in nanoseconds; 0 where the kernel does not count. `path` is the process's directory in /proc.
 * What took long since it had to wait for these was not slow.
 */
export const waitedMs = async (path: string): Promise<number> => {
  const text = await readFile(`${path}/schedstat`, 'utf8').catch(() => '');
  return Number(text.split(' ')[1] ?? 0) / 1e6;
};
