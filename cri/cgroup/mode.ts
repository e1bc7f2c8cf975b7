import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BerthError, orMissing } from '../../base/errors.ts';

/** One v1 hierarchy: where it is mounted, and its controllers ("cpu", "cpuacct"; "name=systemd" for a named one). */
export interface Hierarchy {
  readonly mount: string;
  readonly controllers: readonly string[];
}

/**
 * What cgroups the machine has. A hybrid machine (v1 controllers, and a v2 mount beside them) is served as v1: its v2 mount
 * limits nothing.
 */
export interface CgroupMode {
  readonly version: 1 | 2;
  readonly hybrid: boolean;
  /** v1: every hierarchy, in the order of the mounts. Empty on v2. */
  readonly hierarchies: readonly Hierarchy[];
  /** v2: the mount and the controllers of its root. */
  readonly unified: { readonly mount: string; readonly controllers: readonly string[] } | undefined;
  /** Memory and swap can be limited together. */
  readonly swap: boolean;
}

interface Mount {
  readonly point: string;
  readonly type: string;
  readonly options: readonly string[];
}

// proc(5): octal escapes for space, tab, newline and backslash.
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

// "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - tmpfs tmpfs rw,mode=755"
const parseMount = (line: string): Mount | undefined => {
  const [before = '', after = ''] = line.split(' - ');
  const [type, , options] = after.split(' ');
  const [, , , root, point] = before.split(' ');
  if (type === undefined || options === undefined || point === undefined || root !== '/') return undefined;
  return { point: unescaped(point), type, options: options.split(',') };
};

// "4:cpu,cpuacct:/path": the names that are controllers, among a mount's other options.
const controllerNames = (selfCgroup: string): ReadonlySet<string> =>
  new Set(
    selfCgroup
      .split('\n')
      .flatMap((line) => line.split(':')[1]?.split(',') ?? [])
      .filter((name) => name !== ''),
  );

const hierarchiesOf = (mounts: readonly Mount[], names: ReadonlySet<string>): readonly Hierarchy[] => {
  const found = new Map<string, Hierarchy>();
  for (const { point, type, options } of mounts) {
    const controllers = type === 'cgroup' ? options.filter((option) => names.has(option)) : [];
    // One hierarchy may be mounted twice; the first mount is as good as the others.
    if (controllers.length > 0 && !found.has(controllers.join()))
      found.set(controllers.join(), { mount: point, controllers });
  }
  return [...found.values()];
};

/** From the text of /proc/self/mountinfo and /proc/self/cgroup. */
export const parseMode = (mountinfo: string, selfCgroup: string): Omit<CgroupMode, 'swap'> => {
  const mounts = mountinfo.split('\n').flatMap((line) => parseMount(line) ?? []);
  const hierarchies = hierarchiesOf(mounts, controllerNames(selfCgroup));
  const unified = mounts.find(({ type }) => type === 'cgroup2');
  // A named hierarchy alone (systemd's) limits nothing: such a machine is v2.
  const limits = hierarchies.some(({ controllers }) => controllers.some((name) => !name.startsWith('name=')));
  if (limits) return { version: 1, hybrid: unified !== undefined, hierarchies, unified: undefined };
  if (unified)
    return { version: 2, hybrid: false, hierarchies: [], unified: { mount: unified.point, controllers: [] } };
  throw new BerthError(
    'failed-precondition',
    'detect cgroups: /proc/self/mountinfo has no cgroup mount; mount cgroup2 on /sys/fs/cgroup',
  );
};

const readText = async (path: string): Promise<string | undefined> => orMissing(readFile(path, 'utf8'));

/** The mount of a v1 controller. */
export const hierarchyOf = (mode: CgroupMode, controller: string): Hierarchy | undefined =>
  mode.hierarchies.find(({ controllers }) => controllers.includes(controller));

/** What is counted here, of what a machine may lack. */
export const countedBy = (mode: CgroupMode): { readonly swap: boolean; readonly hugetlb: boolean } => ({
  swap: mode.swap,
  hugetlb: mode.unified?.controllers.includes('hugetlb') ?? hierarchyOf(mode, 'hugetlb') !== undefined,
});

// The root of v2 has no memory.swap.max, but /proc/swaps is compiled in together with it; v1 has the file when the kernel counts swap.
const swapOf = async (mode: Omit<CgroupMode, 'swap'>): Promise<boolean> => {
  if (mode.version === 2) return (await readText('/proc/swaps')) !== undefined;
  const memory = hierarchyOf({ ...mode, swap: false }, 'memory');
  return memory !== undefined && (await readText(join(memory.mount, 'memory.memsw.limit_in_bytes'))) !== undefined;
};

const words = (text: string | undefined): readonly string[] => (text ?? '').split(/\s+/).filter((word) => word !== '');

/** Reads the machine's state once at start. Errors: failed-precondition when there are no cgroups. */
export const detect = async (): Promise<CgroupMode> => {
  const [mountinfo, self] = await Promise.all([
    readFile('/proc/self/mountinfo', 'utf8'),
    readFile('/proc/self/cgroup', 'utf8'),
  ]);
  const mode = parseMode(mountinfo, self);
  const swap = await swapOf(mode);
  if (!mode.unified) return { ...mode, swap };
  const controllers = words(await readText(join(mode.unified.mount, 'cgroup.controllers')));
  return { ...mode, unified: { ...mode.unified, controllers }, swap };
};
