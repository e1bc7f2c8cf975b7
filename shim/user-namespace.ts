import { invalid } from '../base/errors.ts';
import type { OciIdMapping, OciMount, OciSpec } from './oci.ts';

/** The pinned user namespace of a spec, with the one run of ids that it maps of each kind; 0 is in it. */
export interface UserNamespace {
  readonly path: string;
  readonly uids: OciIdMapping;
  readonly gids: OciIdMapping;
}

const single = (mappings: readonly OciIdMapping[] | undefined, field: string): OciIdMapping => {
  const [mapping, ...others] = mappings ?? [];
  if (mapping === undefined || others.length > 0 || mapping.containerID !== 0)
    throw invalid(`spec: ${field}: one mapping that begins with 0 is needed`);
  return mapping;
};

/** Undefined: the host's. Errors: `invalid-argument` for one without a path, or with other mappings than one of each kind. */
export const userNamespaceOf = ({ linux }: Pick<OciSpec, 'linux'>): UserNamespace | undefined => {
  const namespace = linux.namespaces.find(({ type }) => type === 'user');
  if (namespace === undefined) return undefined;
  if (namespace.path === undefined) throw invalid('spec: a user namespace without a path is not known');
  const { uidMappings, gidMappings } = linux;
  return {
    path: namespace.path,
    uids: single(uidMappings, 'uidMappings'),
    gids: single(gidMappings, 'gidMappings'),
  };
};

/** What the host calls the id; root where it has no name for it, whom the namespace does not know either. */
export const hostId = ({ hostID, size }: OciIdMapping, id: number): number => (id < size ? hostID + id : 0);

const same = (a: OciIdMapping, b: readonly OciIdMapping[]): boolean =>
  b.length === 1 && b[0]?.containerID === a.containerID && b[0].hostID === a.hostID && b[0].size === a.size;

/** Whether a mount has its ids mapped. Errors: `invalid-argument` for a mapping that is not the container's own. */
export const isMapped = (
  { destination, uidMappings = [], gidMappings = [] }: OciMount,
  user: UserNamespace | undefined,
): boolean => {
  if (uidMappings.length + gidMappings.length === 0) return false;
  if (user === undefined || !same(user.uids, uidMappings) || !same(user.gids, gidMappings))
    throw invalid(`mount ${destination}: id mappings other than those of the container's user namespace are not known`);
  return true;
};
