import { basename } from 'node:path';
import { invalid } from '../base/errors.ts';
import { cString } from './frames.ts';
import { MountAttribute, propagations } from './linux.ts';
import type { OciMount } from './oci.ts';
import type { Plan } from './plan.ts';

/** What the options of an OCI mount ask for. */
interface Options {
  readonly attributes: number;
  readonly recursiveAttributes: number;
  readonly propagation: number;
  readonly recursive: boolean;
  readonly rest: readonly string[];
}

const attributes: Readonly<Record<string, number>> = {
  ro: MountAttribute.RDONLY,
  nosuid: MountAttribute.NOSUID,
  nodev: MountAttribute.NODEV,
  noexec: MountAttribute.NOEXEC,
  noatime: MountAttribute.NOATIME,
  strictatime: MountAttribute.STRICTATIME,
  nodiratime: MountAttribute.NODIRATIME,
  nosymfollow: MountAttribute.NOSYMFOLLOW,
};
const recursiveAttributes: Readonly<Record<string, number>> = Object.fromEntries(
  Object.entries(attributes).map(([name, value]) => [`r${name}`, value]),
);
/** What a mount has without being told. */
const defaults = new Set([
  'rw',
  'rrw',
  'suid',
  'dev',
  'exec',
  'atime',
  'diratime',
  'relatime',
  'symfollow',
  'defaults',
]);

const sum = (options: readonly string[], bits: Readonly<Record<string, number>>): number =>
  options.reduce((all, option) => all | (bits[option] ?? 0), 0);

const isFlag = (option: string): boolean =>
  defaults.has(option) ||
  [attributes, recursiveAttributes, propagations].some((names) => Object.hasOwn(names, option)) ||
  option === 'bind' ||
  option === 'rbind';

const parse = (options: readonly string[]): Options => ({
  attributes: sum(options, attributes),
  recursiveAttributes: sum(options, recursiveAttributes),
  propagation: options.reduce((last, option) => propagations[option] ?? last, 0),
  recursive: options.includes('rbind'),
  rest: options.filter((option) => !isFlag(option)),
});

const isBind = ({ type, options }: OciMount): boolean =>
  type === 'bind' || options.includes('bind') || options.includes('rbind');

/** v1: a hierarchy's mount point is named after its controllers, or after the name that it has instead. */
const controllers = new Set(
  'cpuset cpu cpuacct blkio memory devices freezer net_cls net_prio perf_event hugetlb pids rdma misc'.split(' '),
);
const hierarchyOptions = (name: string): string[] => {
  const parts = name.split(',');
  return parts.every((part) => controllers.has(part)) ? parts : [`name=${name}`];
};

/** Opens every bind source; must come before the root is entered. Gives the slot of each mount. */
export const openSources = (plan: Plan, mounts: readonly OciMount[]): ReadonlyMap<OciMount, number> => {
  const slots = new Map<OciMount, number>();
  for (const mount of mounts.filter(isBind)) {
    const options = parse(mount.options);
    if (options.rest.length > 0)
      throw invalid(`mount ${mount.destination}: option ${options.rest.join(',')} is not one of a bind mount`);
    const slot = slots.size;
    slots.set(mount, slot);
    const propagation = options.propagation === 0 ? (propagations.rprivate ?? 0) : options.propagation;
    const source = cString(mount.source, `mount ${mount.destination}`);
    plan.add(
      'OPEN_MOUNT',
      slot,
      source,
      options.recursive ? 1 : 0,
      propagation,
      options.attributes,
      options.recursiveAttributes,
    );
  }
  return slots;
};

const fileSystems = new Set(['proc', 'sysfs', 'tmpfs', 'devpts', 'mqueue']);

const mountFileSystem = (plan: Plan, mount: OciMount): void => {
  if (!fileSystems.has(mount.type)) throw invalid(`mount ${mount.destination}: type ${mount.type} is not known`);
  const options = parse(mount.options);
  const set = options.attributes | options.recursiveAttributes;
  plan.add('MOUNT_FS', mount.type, mount.source || mount.type, mount.destination, set, ...options.rest);
};

/** `/sys/fs/cgroup`, as the container's cgroup namespace shows it: one mount on v2, one a hierarchy on v1. */
const mountCgroups = (plan: Plan, mount: OciMount, hierarchies: readonly string[]): void => {
  const set = parse(mount.options).attributes;
  if (hierarchies.length === 0) {
    plan.add('MOUNT_FS', 'cgroup2', 'cgroup', mount.destination, set);
    return;
  }
  plan.add('MOUNT_FS', 'tmpfs', 'cgroup', mount.destination, set & ~MountAttribute.RDONLY, 'mode=755', 'size=64k');
  for (const hierarchy of hierarchies)
    plan.add(
      'MOUNT_FS',
      'cgroup',
      'cgroup',
      `${mount.destination}/${basename(hierarchy)}`,
      set,
      ...hierarchyOptions(basename(hierarchy)),
    );
  if ((set & MountAttribute.RDONLY) !== 0) plan.add('READ_ONLY_PATH', mount.destination);
};

/** All mounts in the order of the spec, inside the new root. `hierarchies`: v1's mount points on the host, none on v2. */
export const addMounts = (
  plan: Plan,
  mounts: readonly OciMount[],
  slots: ReadonlyMap<OciMount, number>,
  hierarchies: readonly string[],
): void => {
  for (const mount of mounts) {
    const slot = slots.get(mount);
    cString(mount.destination, 'mount');
    if (slot !== undefined) plan.add('MOUNT_SLOT', slot, mount.destination);
    else if (mount.type === 'cgroup') mountCgroups(plan, mount, hierarchies);
    else mountFileSystem(plan, mount);
  }
};

/** Whether the container's /dev is its own, to be filled by us. */
export const hasOwnDev = (mounts: readonly OciMount[]): boolean =>
  mounts.every((mount) => mount.destination !== '/dev' || !isBind(mount));
