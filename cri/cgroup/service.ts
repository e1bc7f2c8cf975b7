import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory, writeKernelFile } from '../../base/files.ts';
import type { CgroupMode } from './mode.ts';

/**
 * The directories of a service's own cgroup, one a hierarchy: none unless berthd was started as a service, whose cgroup
 * is its to divide (systemd's Delegate=yes). `self` is the text of /proc/self/cgroup.
 */
export const serviceDirectories = (mode: CgroupMode, self: string): readonly string[] => {
  const own = self.split('\n').flatMap((line) => {
    const [, names = '', path = ''] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    return path.endsWith('.service') ? [{ names, path }] : [];
  });
  return own.flatMap(({ names, path }) => {
    const mount =
      names === '' ? mode.unified?.mount : mode.hierarchies.find((one) => one.controllers.join() === names)?.mount;
    return mount === undefined ? [] : [join(mount, path)];
  });
};

/**
 * Moves this process to `daemon` below its service's cgroup, and answers with the `cgroup.procs` files of `supervisors`
 * beside it: what ends the one must not end the other, and cgroup v2 wants no process in an inner directory.
 */
export const divideService = async (mode: CgroupMode): Promise<readonly string[]> => {
  const directories = serviceDirectories(mode, await readFile('/proc/self/cgroup', 'utf8'));
  for (const directory of directories) {
    await makeDirectory(join(directory, 'daemon'), 0o755);
    await makeDirectory(join(directory, 'supervisors'), 0o755);
    await writeKernelFile(join(directory, 'daemon/cgroup.procs'), `${process.pid}`);
  }
  return directories.map((directory) => join(directory, 'supervisors/cgroup.procs'));
};
