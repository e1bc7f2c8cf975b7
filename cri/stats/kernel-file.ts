import { closeSync, openSync, readSync } from 'node:fs';
import { errnoOf } from '../../base/errors.ts';

const buffer = Buffer.allocUnsafe(1 << 16);

/**
 * ENODEV: of a cgroup that has just gone. ESRCH: of a process that has. EOPNOTSUPP: pressure on a kernel that was started
 * without it.
 */
export const missing: readonly string[] = ['ENOENT', 'ENODEV', 'ESRCH', 'EOPNOTSUPP', 'ENOTDIR'];

/** The kernel gives whole lines, about a page of them a read; none is so long. After fewer bytes there are no more. */
const leastOfMore = 2048;

const readAll = (file: number): string => {
  let text = '';
  for (;;) {
    const count = readSync(file, buffer, 0, buffer.length, null);
    text += buffer.toString('latin1', 0, count);
    if (count < leastOfMore) return text;
  }
};

/**
 * A small file of the kernel, of which nothing waits for a disk: read without leaving this thread, which costs a
 * twentieth of the way over the thread pool. Undefined when it is not there.
 */
export const readKernelFile = (path: string): string | undefined => {
  try {
    const file = openSync(path, 'r');
    try {
      return readAll(file);
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (missing.includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
};
