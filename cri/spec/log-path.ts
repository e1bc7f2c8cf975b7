import { invalid } from '../../base/errors.ts';
import { absolutePath, isUnder, plainText } from './values.ts';

/** The directory for the pod's logs, absolute; undefined when it has none. */
export const logDirectory = (directory: string | undefined): string | undefined =>
  directory ? absolutePath(directory, 'log_directory') : undefined;

/**
 * Where the container's log goes, below the pod's log directory (CVE-2025-0750); undefined for no log.
 * kubelet gives a relative path such as "name/0.log".
 */
export const logPath = (directory: string | undefined, path: string | undefined): string | undefined => {
  if (!path) return undefined;
  const root = logDirectory(directory);
  if (root === undefined) return undefined;
  const parts = plainText(path, 'log_path').split('/');
  const joined = path.startsWith('/') ? absolutePath(path, 'log_path') : absolutePath(`${root}/${path}`, 'log_path');
  if (parts.includes('..') || joined === root || !isUnder(root, joined))
    throw invalid(`log_path: "${path}" is not a file below ${root}`);
  return joined;
};
