import { basename } from 'node:path';
import { invalid } from '../base/errors.ts';
import { cString } from './frames.ts';
import { MountAttribute, propagations } from './linux.ts';
import { isBind, mountOptions } from './mount-options.ts';
import type { OciMount } from './oci.ts';
import { readOverlay } from './overlay-options.ts';
import type { Plan } from './plan.ts';
import { isMapped, type UserNamespace } from './user-namespace.ts';

/** A v1 hierarchy: where the host has it, and the container's directory in it. */
export interface Hierarchy {
  readonly mountPoint: string;
  readonly directory: string;
}

/** What of the host's cgroup mounts is bound: v1's hierarchies one by one, or v2's mount; nothing where v2 is mounted anew. */
export type CgroupSource = readonly Hierarchy[] | string;

/** What is opened outside and mounted inside, by its slot. */
export interface Opened {
  readonly slot: number;
  readonly target: string;
  /** Below the root of what was opened; all of it when undefined. */
  readonly directory?: string;
}
export type Sources = ReadonlyMap<OciMount, readonly Opened[]>;

/**
 * Opens all that the host has for the mounts; must come before the root is entered. v1's directories of the
 * container, one a hierarchy, are bound instead of mounted anew: a v1 mount in a cgroup namespace is a file
 * system of its own, and ten of those cost more than the rest of the start.
 */
export const openSources = (
  plan: Plan,
  mounts: readonly OciMount[],
  cgroups: CgroupSource,
  overlayMethod: 0 | 1,
  user?: UserNamespace,
): Sources => {
  let slots = 0;
  const open = (mount: OciMount, source: string, target: string): Opened => {
    const opened = { slot: slots, target };
    addOpen(plan, mount, source, slots, isMapped(mount, user));
    slots += 1;
    return opened;
  };
  const openOverlay = (mount: OciMount): Opened => {
    const { lowers, directory, rest } = readOverlay(mount);
    const slot = slots;
    slots += 1;
    plan.add('OPEN_OVERLAY', slot, overlayMethod, attributesOf(mount, rest), ...lowers);
    return { slot, target: mount.destination, ...(directory === '' ? {} : { directory }) };
  };
  const sourcesOf = (mount: OciMount): readonly Opened[] => {
    if (mount.type === 'overlay') return [openOverlay(mount)];
    if (isBind(mount)) return [open(mount, cString(mount.source, `mount ${mount.destination}`), mount.destination)];
    if (mount.type !== 'cgroup') return [];
    if (typeof cgroups === 'string') return [open(mount, cgroups, mount.destination)];
    return cgroups.map(({ directory, mountPoint }) =>
      open(mount, directory, `${mount.destination}/${basename(mountPoint)}`),
    );
  };
  return new Map(mounts.map((mount) => [mount, sourcesOf(mount)]));
};

/** Of one mount: what holds for those below it holds for nothing else. */
const attributesOf = (mount: OciMount, options: readonly string[]): number => {
  const { attributes, recursiveAttributes, rest } = mountOptions(options);
  if (rest.length > 0) throw invalid(`mount ${mount.destination}: option ${rest.join(',')} is not known`);
  return attributes | recursiveAttributes;
};

const addOpen = (plan: Plan, mount: OciMount, source: string, slot: number, mapped: boolean): void => {
  const options = mountOptions(mount.options);
  if (options.rest.length > 0)
    throw invalid(`mount ${mount.destination}: option ${options.rest.join(',')} is not one of a bind mount`);
  const propagation = options.propagation === 0 ? (propagations.rprivate ?? 0) : options.propagation;
  plan.add(
    'OPEN_MOUNT',
    slot,
    source,
    options.recursive ? 1 : 0,
    propagation,
    // Not what is mounted below: that may be of a kind that cannot.
    options.attributes | (mapped ? MountAttribute.IDMAP : 0),
    options.recursiveAttributes,
  );
};

const fileSystems = new Set(['proc', 'sysfs', 'tmpfs', 'devpts', 'mqueue']);

/** SELinux: those whose files have no labels of their own. One message queue file system serves the whole ipc namespace. */
const labelled = new Set(['tmpfs', 'devpts']);

export const contextOf = ({ type }: OciMount, label: string | undefined): readonly string[] =>
  label !== undefined && labelled.has(type) ? [cString(`context=${label}`, 'mount label')] : [];

const mountFileSystem = (plan: Plan, mount: OciMount, label: string | undefined): void => {
  if (!fileSystems.has(mount.type)) throw invalid(`mount ${mount.destination}: type ${mount.type} is not known`);
  const options = mountOptions(mount.options);
  const set = options.attributes | options.recursiveAttributes;
  const source = mount.source || mount.type;
  plan.add('MOUNT_FS', mount.type, source, mount.destination, set, ...options.rest, ...contextOf(mount, label));
};

/** `/sys/fs/cgroup`, as the container's cgroup namespace shows it: one mount on v2, one a hierarchy on v1. */
const mountCgroups = (plan: Plan, mount: OciMount, hierarchies: readonly Opened[]): void => {
  const set = mountOptions(mount.options).attributes;
  if (hierarchies[0]?.target === mount.destination) {
    addSlots(plan, hierarchies);
    return;
  }
  if (hierarchies.length === 0) {
    plan.add('MOUNT_FS', 'cgroup2', 'cgroup', mount.destination, set);
    return;
  }
  plan.add('MOUNT_FS', 'tmpfs', 'cgroup', mount.destination, set & ~MountAttribute.RDONLY, 'mode=755', 'size=64k');
  addSlots(plan, hierarchies);
  // Only now, as the mount points had to be made in it.
  if ((set & MountAttribute.RDONLY) !== 0) plan.add('MOUNT_ATTRIBUTES', mount.destination, MountAttribute.RDONLY);
};

const addSlots = (plan: Plan, opened: readonly Opened[]): void => {
  for (const { slot, target, directory } of opened)
    plan.add('MOUNT_SLOT', slot, target, ...(directory === undefined ? [] : [cString(directory, 'image_sub_path')]));
};

/** All mounts in the order of the spec, inside the new root. */
export const addMounts = (plan: Plan, mounts: readonly OciMount[], sources: Sources, label?: string): void => {
  for (const mount of mounts) {
    const opened = sources.get(mount) ?? [];
    cString(mount.destination, 'mount');
    if (mount.type === 'cgroup') mountCgroups(plan, mount, opened);
    else if (opened.length > 0) addSlots(plan, opened);
    else mountFileSystem(plan, mount, label);
  }
};

/** Whether the container's /dev is its own, to be filled by us. */
export const hasOwnDev = (mounts: readonly OciMount[]): boolean =>
  mounts.every((mount) => mount.destination !== '/dev' || !isBind(mount));
