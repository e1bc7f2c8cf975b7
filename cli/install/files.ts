import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  rmdir,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { BerthError, errnoOf, messageOf, orMissing } from '../../base/errors.ts';
import type { Entry } from './layout.ts';

/** What a file or link is, as one word: a hash of its content and whether it may be executed, or where it leads. */
export type Print = string;

/** Undefined when nothing is there; a directory or a device has a print that nothing else has. */
export const printOf = async (path: string): Promise<Print | undefined> => {
  const info = await orMissing(lstat(path));
  if (info === undefined) return undefined;
  if (info.isSymbolicLink()) return `link:${await readlink(path)}`;
  if (!info.isFile()) return `other:${info.mode}`;
  return filePrint(await digestOf(path), info.mode);
};

const filePrint = (digest: string, mode: number): Print => `${(mode & 0o111) === 0 ? 'file' : 'exec'}:${digest}`;

const digestOf = async (path: string): Promise<string> => {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
};

/** What the entry will be. */
export const wantedPrint = async (entry: Entry): Promise<Print> => {
  if (entry.type === 'link') return `link:${entry.target}`;
  const digest =
    entry.type === 'copy' ? await digestOf(entry.source) : createHash('sha256').update(entry.text).digest('hex');
  return filePrint(digest, entry.mode);
};

/** Whole or not at all, over what is there: a program that runs keeps its old file. */
export const putEntry = async (entry: Entry, path: string): Promise<void> => {
  const umask = process.umask(0o022);
  await mkdir(dirname(path), { recursive: true, mode: 0o755 }).finally(() => process.umask(umask));
  const temporary = join(dirname(path), `.berth-${randomBytes(6).toString('hex')}`);
  try {
    if (entry.type === 'link') await symlink(entry.target, temporary);
    else {
      if (entry.type === 'copy') await copyFile(entry.source, temporary);
      else await writeFile(temporary, entry.text, { flag: 'wx' });
      await chmod(temporary, entry.mode);
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
};

/** The file, and each directory above it that is empty then, up to one of `stays`. */
export const removeEntry = async (path: string, stays: ReadonlySet<string>): Promise<void> => {
  await rm(path, { force: true });
  for (let at = dirname(path); !stays.has(at) && at !== '/'; at = dirname(at)) {
    try {
      await rmdir(at);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') continue;
      return;
    }
  }
};

/**
 * Refuses what a link in the image at `root` would lead out of it, into the machine that prepares the image.
 * Errors: failed-precondition.
 */
export const checkInside = async (
  { root }: { readonly root: string },
  entries: readonly { readonly path: string }[],
): Promise<void> => {
  if (root === '') return;
  const top = (await orMissing(realpath(root))) ?? root;
  for (const directory of new Set(entries.map(({ path }) => dirname(join(root, path))))) {
    let at = directory;
    let real = await orMissing(realpath(at));
    for (; real === undefined && at !== root; real = await orMissing(realpath(at))) {
      if ((await orMissing(lstat(at))) !== undefined) break;
      at = dirname(at);
    }
    const inside = at === root || (real !== undefined && (real === top || real.startsWith(`${top}/`)));
    if (!inside) throw new BerthError('failed-precondition', `${at} leads to ${real ?? 'nothing'}, outside of ${root}`);
  }
};

/** What an earlier installation put where, by path. */
export type Installed = ReadonlyMap<string, Print>;

export const readInstalled = async (file: string): Promise<Installed> => {
  const text = await orMissing(readFile(file, 'utf8'));
  if (text === undefined) return new Map();
  try {
    return new Map(Object.entries((JSON.parse(text) as { files: Record<string, string> }).files));
  } catch (error) {
    throw new BerthError(
      'data-loss',
      `${file}, the list of what was installed, is broken (${messageOf(error)}): remove it, and \`berth install\` shows what is there`,
    );
  }
};

export const installedEntry = (path: string, files: Installed): Entry => ({
  path,
  kind: 'program',
  type: 'text',
  text: `${JSON.stringify({ files: Object.fromEntries([...files].sort()) }, null, 1)}\n`,
  mode: 0o644,
});
