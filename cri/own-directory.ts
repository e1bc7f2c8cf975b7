import { lstat, readdir } from 'node:fs/promises';
import { ownNames } from '../api/own-names.ts';
import { BerthError, orMissing } from '../base/errors.ts';

/** What each file system has at its top. */
const anybodys = 'lost+found';

/**
 * Refuses a directory that others use: to make it private would shut them out (`root = "/home"`), and its removal would take what is
 * theirs. One that is private already changes for nobody. Errors: failed-precondition with some of what is in it.
 */
export const checkOwnDirectory = async (key: keyof typeof ownNames, path: string): Promise<void> => {
  const info = await orMissing(lstat(path));
  if (info === undefined || !info.isDirectory() || (info.mode & 0o777) === 0o700) return;
  const own: readonly string[] = [...ownNames[key], anybodys];
  const entries = await readdir(path, { withFileTypes: true });
  const others = entries.filter((entry) => !entry.isSocket() && !own.includes(entry.name)).map(({ name }) => name);
  if (others.length === 0) return;
  const some = others.slice(0, 3).map((name) => JSON.stringify(name));
  throw new BerthError(
    'failed-precondition',
    `${key}: ${path} is open to others and holds ${some.join(', ')}${others.length > some.length ? ', …' : ''}, which berthd did not put there: give it a directory of its own`,
  );
};
