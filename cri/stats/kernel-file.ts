import { closeSync, openSync, readSync } from 'node:fs';
import { errnoOf } from '../../base/errors.ts';

const buffer = Buffer.allocUnsafe(1 << 16);

/** ENODEV: of a cgroup that has just gone. EOPNOTSUPP: pressure on a kernel that was started without it. */
const missing = ['ENOENT', 'ENODEV', 'EOPNOTSUPP', 'ENOTDIR'];

/**
 * A small file of the kernel, of which nothing waits for a disk: read without leaving this thread, which costs a
 * twentieth of the way over the thread pool. Undefined when it is not there.
 */
export const readKernelFile = (path: string): string | undefined => {
  try {
    const file = openSync(path, 'r');
    try {
      return buffer.toString('latin1', 0, readSync(file, buffer, 0, buffer.length, 0));
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (missing.includes(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
};
