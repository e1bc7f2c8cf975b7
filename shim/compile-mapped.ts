import { invalid } from '../base/errors.ts';
import { addMappedNodes } from './compile-dev.ts';
import { contextOf, hasOwnDev, type Opened, type Sources } from './compile-mounts.ts';
import { cString, type Field } from './frames.ts';
import { CloneFlag } from './linux.ts';
import { mountOptions } from './mount-options.ts';
import type { OciMount, OciSpec } from './oci.ts';
import type { Plan } from './plan.ts';
import { hostId, type UserNamespace } from './user-namespace.ts';

/** What is otherwise in the start of a container in a user namespace (docs/protocol.md, "User namespaces"). */

const openFs = (plan: Plan, mount: OciMount, slot: number, more: readonly Field[] = []): readonly Opened[] => {
  const { attributes, recursiveAttributes, rest } = mountOptions(mount.options);
  plan.add('OPEN_FS', slot, mount.type, mount.source || mount.type, attributes | recursiveAttributes, ...rest, ...more);
  return [{ slot, target: mount.destination }];
};

const count = (sources: Sources): number => [...sources.values()].flat().length;

/** With the rights of the host: sysfs, which needs no other one to be seen then, and the /dev that nodes are made in. */
const openAsHost = (plan: Plan, { mounts, linux }: OciSpec, user: UserNamespace, first: number): Sources => {
  const opened = new Map<OciMount, readonly Opened[]>();
  for (const mount of mounts.filter(({ type }) => type === 'sysfs'))
    opened.set(mount, openFs(plan, mount, first + opened.size));
  const dev = mounts.find(({ destination, type }) => destination === '/dev' && type === 'tmpfs');
  if (dev === undefined || !hasOwnDev(mounts)) return opened;
  const slot = first + opened.size;
  const owner = [`uid=${user.uids.hostID}`, `gid=${user.gids.hostID}`];
  opened.set(dev, openFs(plan, dev, slot, [...owner, ...contextOf(dev, linux.mountLabel)]));
  addMappedNodes(plan, linux.devices, slot, user);
  return opened;
};

/** Namespaces of the container's own that the user namespace has to own. */
const unshared = ({ linux }: OciSpec): number =>
  linux.namespaces.reduce((flags, { type, path }) => {
    if (path !== undefined || type === 'mount') return flags;
    if (type === 'network') throw invalid('spec: a network namespace without a path in a user namespace is not known');
    return flags | CloneFlag[type];
  }, 0);

/**
 * From the host's rights to those of the user namespace's root; comes when all that the host has is open. Answers with the
 * file systems that were made on the way. `addLimits`: a hard limit is raised with the host's rights alone.
 */
export const joinUser = (
  plan: Plan,
  spec: OciSpec,
  user: UserNamespace,
  sources: Sources,
  addLimits: () => void,
): Sources => {
  const all = new Map([...sources, ...openAsHost(plan, spec, user, count(sources))]);
  addLimits();
  plan.add('OWN_STREAMS', hostId(user.uids, spec.process.user.uid));
  plan.add('JOIN_USER', unshared(spec));
  // The host's procfs is still to be seen, without which the kernel gives none.
  for (const mount of spec.mounts.filter(({ type }) => type === 'proc'))
    all.set(mount, openFs(plan, mount, count(all)));
  return all;
};

export const addUserNs = (plan: Plan, user: UserNamespace | undefined): void => {
  if (user !== undefined) plan.add('USER_NS', cString(user.path, 'user namespace'));
};
