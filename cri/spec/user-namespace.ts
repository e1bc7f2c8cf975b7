import { invalid } from '../../base/errors.ts';
import type { OciIdMapping } from '../../shim/oci.ts';
import type { IdMapping, Mount, NamespaceOption } from './types.ts';
import { enumName } from './values.ts';

const modes = ['POD', 'CONTAINER', 'NODE', 'TARGET'] as const;

/** The ids that a pod's user namespace has: one run of each kind, which begins with 0. */
export interface UserMapping {
  readonly uids: OciIdMapping;
  readonly gids: OciIdMapping;
}

/** The highest id of Linux is 2^32 - 2: the next one means "none". */
const ids = 2 ** 32 - 1;

const mapping = (mappings: readonly IdMapping[] | undefined, field: string): OciIdMapping => {
  const [first, ...more] = mappings ?? [];
  if (first === undefined) throw invalid(`${field}: mode POD without a mapping`);
  if (more.length > 0) throw invalid(`${field}: ${more.length + 1} mappings, only one is possible`);
  const { host_id: hostID = 0, container_id: containerID = 0, length: size = 0 } = first;
  if (size === 0) throw invalid(`${field}: length is 0`);
  if (containerID !== 0) throw invalid(`${field}: container_id is ${containerID}: the container's 0 must be mapped`);
  if (hostID + size > ids)
    throw invalid(`${field}: ids ${hostID} to ${hostID + size - 1}, the last of Linux is ${ids - 1}`);
  return { containerID, hostID, size };
};

/** Undefined: the node's. Errors: `invalid-argument` for modes and mappings that are not possible. */
export const userMapping = (options: NamespaceOption | undefined): UserMapping | undefined => {
  const userns = options?.userns_options;
  if (!userns) return undefined;
  const asked = enumName(userns.mode, modes, 'userns_options.mode');
  if (asked === 'POD')
    return { uids: mapping(userns.uids, 'userns_options.uids'), gids: mapping(userns.gids, 'userns_options.gids') };
  if (asked !== 'NODE') throw invalid(`userns_options.mode: ${asked} is not possible, only POD and NODE are`);
  if (userns.uids?.length || userns.gids?.length) throw invalid('userns_options: mappings with mode NODE');
  return undefined;
};

const inWords = (user: UserMapping | undefined): string => {
  if (user === undefined) return "the node's";
  const { uids, gids } = user;
  return `uids ${uids.hostID}+${uids.size}, gids ${gids.hostID}+${gids.size}`;
};

/** A container has its pod's user namespace: one that names another is refused, one that names none takes the pod's. */
export const checkContainerUser = (options: NamespaceOption | undefined, pod: UserMapping | undefined): void => {
  if (!options?.userns_options) return;
  const [own, pods] = [inWords(userMapping(options)), inWords(pod)];
  if (own !== pods) throw invalid(`userns_options: the container asks for ${own}, its pod has ${pods}`);
};

/** Errors: `invalid-argument` for ids that the pod's user namespace does not have. */
export const checkMapped = (
  user: UserMapping | undefined,
  { uid, gid, groups }: { readonly uid: number; readonly gid: number; readonly groups: readonly number[] },
): void => {
  if (user === undefined) return;
  if (uid >= user.uids.size) throw invalid(`user ${uid}: the pod's user namespace has ${user.uids.size} uids`);
  const group = [gid, ...groups].find((one) => one >= user.gids.size);
  if (group !== undefined) throw invalid(`group ${group}: the pod's user namespace has ${user.gids.size} gids`);
};

const sameMapping = (asked: readonly IdMapping[], { hostID, containerID, size }: OciIdMapping): boolean =>
  asked.length === 1 &&
  (asked[0]?.host_id ?? 0) === hostID &&
  (asked[0]?.container_id ?? 0) === containerID &&
  (asked[0]?.length ?? 0) === size;

/** Fields of an OCI mount whose files the container shall see with its own ids. */
export const mappedIds = (user: UserMapping | undefined) =>
  user === undefined ? {} : { uidMappings: [user.uids], gidMappings: [user.gids] };

/** The same for a mount of the request: only the pod's own mapping is possible. `path` is for errors. */
export const mountIds = (
  { uidMappings = [], gidMappings = [] }: Pick<Mount, 'uidMappings' | 'gidMappings'>,
  user: UserMapping | undefined,
  path: string,
) => {
  if (uidMappings.length + gidMappings.length === 0) return {};
  if (user === undefined) throw invalid(`mount ${path}: uidMappings: the pod has no user namespace of its own`);
  if (!sameMapping(uidMappings, user.uids))
    throw invalid(`mount ${path}: uidMappings: not those of the pod: ${inWords(user)}`);
  if (!sameMapping(gidMappings, user.gids))
    throw invalid(`mount ${path}: gidMappings: not those of the pod: ${inWords(user)}`);
  return mappedIds(user);
};
