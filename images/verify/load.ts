import { invalid } from '../../base/errors.ts';
import { readLimited } from '../../base/files.ts';
import { parsePolicy } from './parse.ts';
import type { Policy } from './policy.ts';

const limit = 1 << 20;

const read = async (path: string): Promise<Buffer> => {
  const bytes = await readLimited(path, limit);
  if (bytes === undefined) throw invalid('there is no such file');
  return bytes;
};

/** The policy in a file, with its keys. Throws invalid-argument that names the file and the place in it. */
export const loadPolicy = async (path: string): Promise<Policy> => {
  const bytes = await readLimited(path, limit);
  if (bytes === undefined) throw invalid(`${path}: there is no such file`);
  return parsePolicy(bytes, path, read);
};
