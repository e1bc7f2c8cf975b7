import { BerthError, invalid } from '../../base/errors.ts';
import { accountsLimit, findGroup, findUser, groupsOf, idOf, maxId } from './accounts.ts';
import type { Int64Value, SecurityContext } from './types.ts';
import { boundedInt, enumName, plainText } from './values.ts';

/** A user or a group: by number, or by a name that the image's files must know. */
export type Principal = { readonly id: number } | { readonly name: string };
export interface UserSpec {
  readonly user: Principal;
  readonly group?: Principal;
}
export interface ResolvedUser {
  readonly uid: number;
  readonly gid: number;
  /** The primary group first, each once: the process's groups and ContainerStatus.user.linux.supplemental_groups. */
  readonly groups: readonly number[];
  readonly home: string;
}
/** Contents of the image's /etc/passwd and /etc/group. */
export interface Accounts {
  readonly passwd?: Uint8Array | undefined;
  readonly group?: Uint8Array | undefined;
}

// Digits only means a number, never a name: a number out of range must not fall back to root (CVE-2024-40635).
const parsePrincipal = (text: string, field: string): Principal => {
  if (text === '') throw invalid(`${field}: a user or group is missing`);
  const id = idOf(text);
  if (id !== undefined) return { id };
  if (/^[+-]?\d+$/.test(text)) throw invalid(`${field}: ${text.slice(0, 40)} is not between 0 and ${maxId}`);
  if (/[\s,/]/.test(plainText(text, field, 256))) throw invalid(`${field}: "${text}" is not a user or group name`);
  return { name: text };
};

/** "user", "user:group", each a name or a number. Anything else is invalid-argument. */
export const parseUserSpec = (text: string, field: string): UserSpec => {
  const parts = text.split(':');
  const [user = '', group] = parts;
  if (parts.length > 2) throw invalid(`${field}: ${JSON.stringify(text.slice(0, 256))} is not "user" or "user:group"`);
  const parsed = parsePrincipal(user, field);
  return group === undefined ? { user: parsed } : { user: parsed, group: parsePrincipal(group, field) };
};

const requestedId = (value: Int64Value | undefined, field: string): Principal | undefined =>
  value ? { id: boundedInt(value.value, field, 0, maxId) } : undefined;

const requestedName = (text: string | undefined): Principal | undefined =>
  text ? parsePrincipal(text, 'run_as_username') : undefined;

/** Whom the request, or else the image, names. The request's user drops the image's group as well. */
export const chooseUser = (context: SecurityContext, imageUser: string): UserSpec => {
  const byId = requestedId(context.run_as_user, 'run_as_user');
  const user = requestedName(context.run_as_username) ?? byId;
  const group = requestedId(context.run_as_group, 'run_as_group');
  if (group && !user) throw invalid('run_as_group: a group without run_as_user or run_as_username');
  if (user) return group ? { user, group } : { user };
  return imageUser === '' ? { user: { id: 0 } } : parseUserSpec(imageUser, 'image User');
};

/** Whom an image names, for ImageStatus: the number, or the name. No user is 0. Never an error: a list shows what is there. */
export const imageUser = (text: string): number | string => {
  const [user = ''] = text.split(':');
  return user === '' ? 0 : (idOf(user) ?? user);
};

const checkSize = (file: Uint8Array | undefined, name: string): void => {
  if (file && file.length > accountsLimit)
    throw new BerthError(
      'failed-precondition',
      `${name} of the image: ${file.length} bytes, at most ${accountsLimit} are read`,
    );
};

const primaryGroup = (group: Principal | undefined, fallback: number, file: Uint8Array | undefined): number => {
  if (!group) return fallback;
  if ('id' in group) return group.id;
  const entry = findGroup(file, group.name);
  if (!entry) throw invalid(`group "${group.name}" is not in the image's /etc/group`);
  return entry.gid;
};

/** Looks the user up. Errors: invalid-argument for a name that the image does not know. */
export const resolveUser = (context: SecurityContext, imageUser: string, accounts: Accounts): ResolvedUser => {
  checkSize(accounts.passwd, '/etc/passwd');
  checkSize(accounts.group, '/etc/group');
  const { user, group } = chooseUser(context, imageUser);
  const entry = findUser(
    accounts.passwd,
    'id' in user ? ({ uid }) => uid === user.id : ({ name }) => name === user.name,
  );
  if ('name' in user && !entry) throw invalid(`user "${user.name}" is not in the image's /etc/passwd`);
  const uid = 'id' in user ? user.id : (entry?.uid ?? 0);
  const gid = primaryGroup(group, entry?.gid ?? 0, accounts.group);
  const policy = enumName(context.supplemental_groups_policy, ['Merge', 'Strict'], 'supplemental_groups_policy');
  const member = policy === 'Merge' && entry ? groupsOf(accounts.group, entry.name) : [];
  const asked = (context.supplemental_groups ?? []).map((id) => boundedInt(id, 'supplemental_groups', 0, maxId));
  return { uid, gid, groups: limited([...new Set([gid, ...member, ...asked])]), home: entry?.home || '/' };
};

// NGROUPS_MAX of Linux; setgroups(2) refuses more.
const limited = (groups: readonly number[]): readonly number[] => {
  if (groups.length > 65536) throw invalid(`supplemental_groups: ${groups.length} groups, the kernel takes 65536`);
  return groups;
};
