import { basename } from 'node:path';

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
