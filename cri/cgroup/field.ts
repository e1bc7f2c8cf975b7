import { basename } from 'node:path';
import { BerthError, codeOf, type ErrorCode, messageOf } from '../../base/errors.ts';

const fields: Readonly<Record<string, string>> = {
  'memory.limit_in_bytes': 'memory_limit_in_bytes',
  'memory.max': 'memory_limit_in_bytes',
  'memory.memsw.limit_in_bytes': 'memory_swap_limit_in_bytes',
  'memory.swap.max': 'memory_swap_limit_in_bytes',
  'cpu.shares': 'cpu_shares',
  'cpu.weight': 'cpu_shares',
  'cpu.cfs_quota_us': 'cpu_quota',
  'cpu.cfs_period_us': 'cpu_period',
  'cpu.max': 'cpu_quota',
  'cpuset.cpus': 'cpuset_cpus',
  'cpuset.mems': 'cpuset_mems',
  'pids.max': 'limits.pids',
  'blkio.bfq.weight': 'cgroup.io_weight_annotation',
  'io.weight': 'cgroup.io_weight_annotation',
  'io.bfq.weight': 'cgroup.io_weight_annotation',
  'io.max': 'cgroup.io_max_annotation',
};

/** What of a request, or of the configuration, is written into a file of a cgroup; for the words of an error. */
export const fieldOf = (file: string): string => {
  const name = basename(file);
  if (name.startsWith('blkio.throttle.')) return 'cgroup.io_max_annotation';
  return fields[name] ?? (name.startsWith('hugetlb.') ? `hugepage_limits: ${name}` : `unified: ${name}`);
};

const codes: Readonly<Record<string, ErrorCode>> = {
  EACCES: 'failed-precondition',
  EPERM: 'failed-precondition',
  ENOENT: 'invalid-argument',
  ERANGE: 'invalid-argument',
};

/** A start's error in the words of the request, where it is a limit of the container's that the kernel refused. */
export const refusedLimit = (id: string, error: unknown): unknown => {
  const [, place = '', file = '', errno = ''] =
    /(?:open|write) \/\S*\/([^/\s]+)\/([^/\s]+): (E[A-Z0-9]+)/.exec(messageOf(error)) ?? [];
  if (![id, `berth-${id}.scope`].includes(place) || /^(?:cgroup\.|tasks$)/.test(file)) return error;
  return new BerthError(codes[errno] ?? codeOf(error), `${fieldOf(file)}: ${messageOf(error)}`, { cause: error });
};
