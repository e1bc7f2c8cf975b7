// /etc/passwd and /etc/group of an image: hostile input. Bounded, and a line that is malformed counts as not there.
import { hasControl } from './values.ts';

/** 2^32-1 is "no id" to the kernel. */
export const maxId = 0xffff_fffe;
/** What is read of either file; a larger one is refused (CVE-2026-47262). */
export const accountsLimit = 1 << 20;
const maxLine = 64 << 10;
const maxField = 4096;

export interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}
export interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/** An id written in digits and within range, or undefined. */
export const idOf = (text: string): number | undefined => {
  if (!/^\d{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= maxId ? id : undefined;
};

function* fields(file: Uint8Array | undefined): Generator<readonly string[]> {
  const text = Buffer.from(file ?? []).toString('utf8');
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf('\n', at);
    const line = text.slice(at, end < 0 ? text.length : end);
    at = end < 0 ? text.length : end + 1;
    if (line !== '' && line.length <= maxLine && !line.startsWith('#') && !hasControl(line)) yield line.split(':');
  }
}

const passwdEntry = (parts: readonly string[]): PasswdEntry | undefined => {
  const [name = '', , uid = '', gid = '', , home = ''] = parts;
  const ids = [idOf(uid), idOf(gid)] as const;
  if (name === '' || name.length > maxField || ids[0] === undefined || ids[1] === undefined) return undefined;
  return { name, uid: ids[0], gid: ids[1], home: home.length <= maxField ? home : '' };
};

const groupEntry = (parts: readonly string[]): GroupEntry | undefined => {
  const [name = '', , gid = '', members = ''] = parts;
  const id = idOf(gid);
  if (name === '' || name.length > maxField || id === undefined) return undefined;
  return { name, gid: id, members: members.split(',').filter((member) => member !== '') };
};

/** The first entry that `wanted` takes, as getpwnam(3) and getpwuid(3) choose. */
export const findUser = (
  file: Uint8Array | undefined,
  wanted: (entry: PasswdEntry) => boolean,
): PasswdEntry | undefined => {
  for (const parts of fields(file)) {
    const entry = passwdEntry(parts);
    if (entry && wanted(entry)) return entry;
  }
  return undefined;
};

export const findGroup = (file: Uint8Array | undefined, name: string): GroupEntry | undefined => {
  for (const parts of fields(file)) {
    const entry = groupEntry(parts);
    if (entry?.name === name) return entry;
  }
  return undefined;
};

/** Every group that lists the user, the one of the same name left out: that is the primary one. */
export const groupsOf = (file: Uint8Array | undefined, user: string): readonly number[] => {
  const gids: number[] = [];
  for (const parts of fields(file)) {
    const entry = groupEntry(parts);
    if (entry && entry.name !== user && entry.members.includes(user)) gids.push(entry.gid);
  }
  return gids;
};
