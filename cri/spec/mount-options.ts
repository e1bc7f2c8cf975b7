import { invalid } from '../../base/errors.ts';
import type { Mount } from './types.ts';

export const propagationModes = [
  'PROPAGATION_PRIVATE',
  'PROPAGATION_HOST_TO_CONTAINER',
  'PROPAGATION_BIDIRECTIONAL',
] as const;

/**
 * What Mount.mount_options may hold, in the OCI runtime-spec's words: the first form holds for the mount, the one with an
 * `r` for all mounts below it, too. None takes a restriction away that the host's own mount has. `ro` is the same as
 * `readonly`; recursively that is recursive_read_only, which has rules of its own.
 */
const single = ['noexec', 'nosuid', 'nodev', 'nosymfollow', 'noatime', 'nodiratime', 'strictatime'] as const;
const known: ReadonlySet<string> = new Set(['ro', ...single, ...single.map((option) => `r${option}`)]);

const accessTimes: ReadonlySet<string> = new Set(['noatime', 'strictatime']);

const checkConflict = (options: readonly string[], what: string): void => {
  const times = new Set(options.map((option) => option.replace(/^r/, '')).filter((option) => accessTimes.has(option)));
  if (times.size > 1) throw invalid(`${what}: noatime and strictatime exclude each other`);
};

/** The options of the request, each once; what is not known or contradicts itself is refused by name. */
const checkedOptions = ({ container_path, mount_options = [] }: Mount): readonly string[] => {
  const what = `mount ${container_path}: mount_options`;
  for (const option of mount_options)
    if (!known.has(option))
      throw invalid(`${what}: ${JSON.stringify(option.slice(0, 80))} is not one of ${[...known].join(', ')}`);
  checkConflict(mount_options, what);
  return [...new Set(mount_options)];
};

/** `rw`, `ro` or `rro`, and what mount_options adds. */
export const accessOptions = (mount: Mount): readonly string[] => {
  const options = checkedOptions(mount);
  const rest = options.filter((option) => option !== 'ro');
  if (!mount.readonly && !options.includes('ro')) return ['rw', ...rest];
  return [mount.recursive_read_only ? 'rro' : 'ro', ...rest];
};
