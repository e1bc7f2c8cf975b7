import { type FileHandle, open, readFile, readlink } from 'node:fs/promises';
import { BerthError, errnoOf, invalid, messageOf } from '../../base/errors.ts';
import { makeMissingDirectory, removeEmptyDirectories } from '../../base/files.ts';
import type { Rollback } from '../../base/rollback.ts';
import type { Runtime } from '../runtime.ts';
import { mountSource } from '../spec/mounts.ts';
import type { Mount } from '../spec/types.ts';

/** Looked at, never read: no device or pipe notices. Node has no name for it. */
const O_PATH = 0o10000000;

/** What each host_path of the request leads to on the host, by host_path: links are followed here and never again. */
export const resolveSources = async (
  runtime: Runtime,
  mounts: readonly Mount[],
  rollback: Rollback,
): Promise<ReadonlyMap<string, string>> => {
  const sources = new Map<string, string>();
  // One after the other: a missing one may be below another missing one.
  for (const mount of mounts)
    if (mount.host_path) sources.set(mount.host_path, await resolveSource(runtime, mount, rollback));
  return sources;
};

const resolveSource = async (runtime: Runtime, mount: Mount, rollback: Rollback): Promise<string> => {
  const path = mountSource(mount);
  try {
    await using file = await openSource(runtime, path, rollback);
    await checkPropagation(mount, path, file);
    return await readlink(`/proc/self/fd/${file.fd}`);
  } catch (error) {
    if (error instanceof BerthError) throw error;
    throw invalid(`mount ${mount.container_path}: host_path ${path}: ${messageOf(error)}`);
  }
};

/**
 * The kubelet leaves it to the runtime to make what a hostPath volume without a type names and what is not there
 * (flannel's /run/flannel); where `mounts.make_missing_sources` is off it is an error, as CRI says.
 */
const openSource = async ({ config }: Runtime, path: string, rollback: Rollback): Promise<FileHandle> => {
  try {
    return await open(path, O_PATH);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' || !config.mounts.make_missing_sources) throw error;
  }
  const made = await makeMissingDirectory(path, 0o755);
  rollback.add('mount source', () => removeEmptyDirectories('mount source', () => made));
  return open(path, O_PATH);
};

const wanted = {
  PROPAGATION_BIDIRECTIONAL: { pattern: / shared:\d/, words: 'a shared mount' },
  PROPAGATION_HOST_TO_CONTAINER: { pattern: / (?:shared|master):\d/, words: 'a shared or slave mount' },
} as const;

/** Without it nothing would ever be propagated, and nobody would be told. */
const checkPropagation = async ({ container_path, propagation }: Mount, path: string, file: FileHandle) => {
  if (propagation !== 'PROPAGATION_BIDIRECTIONAL' && propagation !== 'PROPAGATION_HOST_TO_CONTAINER') return;
  const { pattern, words } = wanted[propagation];
  const id = /^mnt_id:\s*(\d+)$/m.exec(await readFile(`/proc/self/fdinfo/${file.fd}`, 'utf8'))?.[1];
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  const line = lines.find((one) => one.startsWith(`${id} `)) ?? '';
  // Six fields, then the optional ones to a lone dash (proc(5)).
  const [, , , , mountPoint, , ...rest] = line.split(' ');
  const optional = rest.slice(0, rest.indexOf('-'));
  if (!pattern.test(` ${optional.join(' ')}`))
    throw new BerthError(
      'failed-precondition',
      `mount ${container_path}: propagation: path "${path}" is mounted on "${mountPoint}" but it is not ${words}`,
    );
};
