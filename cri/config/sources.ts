import { isUtf8 } from 'node:buffer';
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { invalid, orMissing } from '../../base/errors.ts';
import { namesIn, readLimited } from '../../base/files.ts';

export const defaultConfigFile = '/etc/berth/config.toml';
const sizeLimit = 1 << 20;

/** One file's text; `path` is for errors. */
export interface Source {
  readonly path: string;
  readonly text: string;
}

/** `/etc/berth/config.toml` → `/etc/berth/config.d`: the directory of what is laid over the file. */
export const dropInDirectory = (file: string): string => `${file.replace(/\.toml$/, '')}.d`;

/** What was read, the last one standing above the others, and what lies among the drop-ins and is none by its name. */
export interface Sources {
  readonly sources: readonly Source[];
  readonly passedOver: readonly string[];
}

/**
 * The file, and over it each `*.toml` of its directory of drop-ins in the order of their names. Without `file` the default
 * one is read if it is there. Throws `invalid-argument` for a file that is named and missing, and for what is not UTF-8.
 */
export const readSources = async (file: string | undefined): Promise<Sources> => {
  const path = file ?? defaultConfigFile;
  const directory = dropInDirectory(path);
  const main = await readSource(path);
  if (main === undefined && file !== undefined) throw invalid(`${file}: there is no such file`);
  const { isDropIn = [], isOther = [] } = Object.groupBy(await namesIn(directory), kindOf);
  const dropIns = isDropIn.toSorted().map((name) => readSource(join(directory, name)));
  return {
    sources: [main, ...(await Promise.all(dropIns))].filter((source) => source !== undefined),
    passedOver: isOther.toSorted().map((name) => join(directory, name)),
  };
};

/** Hidden files and those that editors leave (`x.toml~`) are meant by nobody; anything else may have been meant as a drop-in. */
const kindOf = (name: string): 'isDropIn' | 'isOther' | 'isNobodys' => {
  if (name.startsWith('.') || name.endsWith('~')) return 'isNobodys';
  return name.endsWith('.toml') ? 'isDropIn' : 'isOther';
};

export const passedOverInWords = (path: string): string =>
  `${path}: not read: only files whose names end in .toml are drop-ins`;

const readSource = async (path: string): Promise<Source | undefined> => {
  const bytes = await readLimited(path, sizeLimit);
  if (bytes === undefined) {
    // who put a link there meant a file
    if ((await orMissing(lstat(path))) !== undefined) throw invalid(`${path}: a link that leads to nothing`);
    return undefined;
  }
  if (!isUtf8(bytes)) throw invalid(`${path}: not UTF-8`);
  return { path, text: bytes.toString('utf8') };
};
