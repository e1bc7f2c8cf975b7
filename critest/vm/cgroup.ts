import { access, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestDaemon } from '../harness/daemon.ts';
import type { TestContainer } from '../harness/pods.ts';

export const root = '/sys/fs/cgroup';

/** A directory of cgroup v2, as the machine sees it. */
export class Cgroup {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  async read(file: string): Promise<string> {
    return (await readFile(join(this.path, file), 'utf8')).trim();
  }

  async words(file: string): Promise<readonly string[]> {
    return (await this.read(file)).split(/\s+/).filter(Boolean);
  }

  exists(): Promise<boolean> {
    return access(this.path).then(
      () => true,
      () => false,
    );
  }

  async children(): Promise<readonly string[]> {
    const entries = await readdir(this.path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  }
}

/** The container's, below the daemon's own parent, or below `parent` of the pod ("/a/b"). */
export const cgroupOf = (daemon: TestDaemon, container: TestContainer, parent = `/${daemon.world.cgroup}`): Cgroup =>
  new Cgroup(root + daemon.cgroupOf(container, parent));

/** Where a process of the daemon's world is: "/a/b". */
export const placeOf = async (daemon: TestDaemon, pid: number): Promise<string> =>
  (await daemon.world.sh(`cat /proc/${pid}/cgroup`)).trim().replace(/^0::/, '');
