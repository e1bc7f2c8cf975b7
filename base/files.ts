import { chmodSync, constants, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';
import { BerthError, errnoOf, invalid, messageOf, orMissing } from './errors.ts';
import { step } from './step.ts';

/** Only this file of the daemon changes the file system (images/ adds its streamed blob writer); critest's lint checks it. */

let serial = 0;
const temporaryName = (path: string): string => {
  serial += 1;
  return `${path}.${process.pid}.${serial}.tmp`;
};
export const isTemporary = (name: string): boolean => /\.\d+\.\d+\.tmp$/.test(name);

export const syncDirectory = (path: string): Promise<void> => sync(path, constants.O_DIRECTORY);

const sync = async (path: string, flags = 0): Promise<void> => {
  const handle = await open(path, constants.O_RDONLY | flags);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
};

/** Makes files durable in a directory that nobody knows yet; both are sent at once, so that a journal is written once. */
export const writeIn = async (
  directory: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<void> => {
  const paths = Object.entries(files).map(([name, data]) => ({ path: join(directory, name), data }));
  await Promise.all(paths.map(({ path, data }) => writeAtomic(path, data, { durable: false })));
  await Promise.all([syncDirectory(directory), ...paths.map(({ path }) => sync(path))]);
};

const writeSynced = async (path: string, data: string | Uint8Array, mode: number, sync: boolean): Promise<void> => {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const handle = await open(path, flags, mode);
  try {
    await handle.writeFile(data);
    await handle.chmod(mode);
    if (sync) await handle.sync();
  } finally {
    await handle.close();
  }
};

/**
 * Puts `data` at `path` whole or not at all. `durable` (the default) also survives a power loss: temp, fsync, rename,
 * fsync of the directory. Use `durable: false` for what lives in the state directory, which a reboot empties.
 */
export const writeAtomic = (
  path: string,
  data: string | Uint8Array,
  options: { readonly mode?: number; readonly durable?: boolean } = {},
): Promise<void> =>
  change('write', path, async () => {
    const { mode = 0o600, durable = true } = options;
    const temporary = temporaryName(path);
    try {
      await writeSynced(temporary, data, mode, durable);
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    if (durable) await syncDirectory(dirname(path));
  });

/**
 * The same for a small file in the state directory, which is a tmpfs: without leaving this thread, since four trips to
 * the thread pool cost twenty times what the calls do.
 */
export const writeVolatile = (path: string, data: string | Uint8Array, mode = 0o600): Promise<void> =>
  change('write', path, async () => {
    const temporary = temporaryName(path);
    try {
      writeFileSync(temporary, data, { flag: 'wx', mode });
      // the mask of the process must not decide what a container can read
      chmodSync(temporary, mode);
      renameSync(temporary, path);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  });

/** One write to a file of the kernel (cgroupfs, procfs), which takes or refuses it as a whole. */
export const writeKernelFile = (path: string, value: string): Promise<void> =>
  change('set', path, () => writeFile(path, value, { flag: 'r+' }));

/** One step of a kind (`verb`) that there are few of, on a path of any number. */
const change = <T>(verb: string, path: string, action: () => Promise<T>): Promise<T> =>
  step(`${verb} ${stepName(path)}`, action, { stage: verb, object: path });

/** Ids in a step's name would make it another name each time: they become `<id>`. */
const stepName = (path: string): string =>
  path
    .split('/')
    .slice(-2)
    .join('/')
    .replaceAll(/[0-9a-f]{12,}/g, '<id>')
    .replaceAll(/\d{6,}/g, '<n>');

/** Makes the directory and its parents; the mode holds for those that it makes. */
export const makeDirectory = (path: string, mode = 0o700): Promise<void> =>
  change('mkdir', path, async () => void (await mkdir(path, { recursive: true, mode })));

/**
 * Makes the directory and its missing parents; gives what was made, the deepest first, for removeEmptyDirectories. Not by
 * the recursion of `mkdir`, which goes on for ever where a file system makes nothing (/proc).
 */
export const makeMissingDirectory = (path: string, mode: number): Promise<readonly string[]> =>
  change('mkdir', path, async () => {
    const missing: string[] = [];
    for (let at = path; (await orMissing(stat(at))) === undefined; at = dirname(at)) missing.push(at);
    const made: string[] = [];
    try {
      for (const at of missing.toReversed()) if (await isMade(at, mode)) made.unshift(at);
    } catch (error) {
      for (const at of made) removeEmpty(at);
      throw error;
    }
    return made;
  });

/** False when somebody else has just made it; a link that leads nowhere is an error. */
const isMade = async (path: string, mode: number): Promise<boolean> => {
  try {
    await mkdir(path, { mode });
    return true;
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST' || (await orMissing(stat(path))) === undefined) throw error;
    return false;
  }
};

/** Makes the directory in a parent that must be there; one that is there already is fine. */
export const makeLastDirectory = (path: string, mode: number): Promise<void> =>
  change('mkdir', path, async () => {
    try {
      await mkdir(path, { mode });
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw error;
    }
  });

/**
 * A directory that nobody but its owner may enter, checked at every start (CVE-2021-41103, CVE-2024-25621): made, or
 * its mode put right; something else in its place is refused.
 */
export const makePrivateDirectory = async (path: string): Promise<void> => {
  await makeDirectory(path, 0o700);
  const info = await lstat(path);
  if (!info.isDirectory() || info.uid !== process.getuid?.())
    throw new BerthError('failed-precondition', `${path}: not a directory of this user; Berth keeps its secrets there`);
  if ((info.mode & 0o777) !== 0o700) await change('chmod', path, () => chmod(path, 0o700));
};

/** A new directory with this owner and mode, whatever the process's umask; its parents are made with 0700. */
export const makeOwnedDirectory = (
  path: string,
  { mode, uid, gid }: { readonly mode: number; readonly uid: number; readonly gid: number },
): Promise<void> =>
  change('mkdir', path, async () => {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 });
    await mkdir(path, { mode: 0o700 });
    // owner first: a change of it clears setuid and setgid
    if (uid !== 0 || gid !== 0) await chown(path, uid, gid);
    await chmod(path, mode);
  });

/** Removes a file or a whole tree; no error when it is not there. Never follows links. */
export const removeTree = (path: string): Promise<void> =>
  change('remove', path, () => rm(path, { recursive: true, force: true }));

/**
 * Removes each directory that is empty, in this order; one that is not there, in use or not empty is no error. Nothing
 * else happens in the daemon between the asking for the paths and the removal.
 */
export const removeEmptyDirectories = (name: string, paths: () => readonly string[]): Promise<void> =>
  step(`remove ${name}`, async () => paths().forEach(removeEmpty));

const removeEmpty = (path: string): void => {
  try {
    rmdirSync(path);
  } catch (error) {
    if (!['ENOENT', 'ENOTEMPTY', 'EBUSY'].includes(errnoOf(error) ?? '')) throw error;
  }
};

/** Renames over what is there; `durable` syncs the target's directory. */
export const moveInto = (from: string, to: string, options: { readonly durable?: boolean } = {}): Promise<void> =>
  change('move', to, async () => {
    await rename(from, to);
    if (options.durable ?? true) await syncDirectory(dirname(to));
  });

export const linkFile = (from: string, to: string): Promise<void> => change('link', to, () => link(from, to));

export const makeSymlink = (target: string, path: string): Promise<void> =>
  change('symlink', path, () => symlink(target, path));

export const setMode = (path: string, mode: number): Promise<void> => change('chmod', path, () => chmod(path, mode));

/** The file's bytes, undefined when it is not there; more than `limit` bytes is an error before anything is read. */
export const readLimited = async (path: string, limit: number): Promise<Buffer | undefined> => {
  const info = await orMissing(stat(path));
  if (info === undefined) return undefined;
  if (!info.isFile()) throw new BerthError('internal', `read ${path}: not a regular file`);
  if (info.size > limit) throw new BerthError('resource-exhausted', `read ${path}: ${info.size} bytes, limit ${limit}`);
  return orMissing(readFile(path));
};

/** A JSON file's value, undefined when it is not there. The caller checks its shape. */
export const readJson = async (path: string, limit = 16 << 20): Promise<unknown> => {
  const bytes = await readLimited(path, limit);
  if (bytes === undefined) return undefined;
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw new BerthError('data-loss', `read ${path}: not JSON: ${messageOf(error)}`, { cause: error });
  }
};

/** Names in a directory, none when it is not there. */
export const namesIn = async (path: string): Promise<string[]> => {
  try {
    return await readdir(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw error;
  }
};

/** Joins under `root` and refuses what would leave it. Only text: what follows links in an image is done by the helper. */
export const joinUnder = (root: string, ...parts: readonly string[]): string => {
  const path = join(root, ...parts);
  if (parts.some((part) => part.includes('\0'))) throw invalid(`path under ${root}: has a zero byte`);
  if (path !== normalize(root) && !path.startsWith(`${normalize(root).replace(/\/$/, '')}/`))
    throw invalid(`path ${JSON.stringify(parts.join('/'))} leaves ${root}`);
  return path;
};

/** A durable file that only a later berthd reads. Whoever meets one leaves it, and all that it speaks of, as it is. */
export class LaterFormat extends BerthError {
  constructor(version: number) {
    super('failed-precondition', `a later berthd has written it, in format ${version}`);
  }
}

/**
 * The rule of all durable files (docs/upgrades.md): `version` is their format, and one above `known` is read where `compatible`
 * says that those who know that one may. Fields that are not known are passed over. Throws LaterFormat, or `data-loss`.
 */
export const checkFormat = ({ version, compatible }: Readonly<Record<string, unknown>>, known: number): void => {
  if (!isFormat(version)) throw new BerthError('data-loss', 'version is missing or no number');
  if (version > known && !(isFormat(compatible) && compatible <= known)) throw new LaterFormat(version);
};

const isFormat = (value: unknown): value is number =>
  typeof value === 'number' && Number.isSafeInteger(value) && value > 0;
