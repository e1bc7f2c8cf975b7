import type { LinuxContainerResources } from '../../api/generated/types.ts';
import type { OciResources } from '../../shim/oci.ts';
import { fieldsOfFile } from './resources.ts';
import type { LinuxResources } from './types.ts';

/** What the machine counts: without it a limit of zero, or none of swap, is not set. */
export interface Counted {
  readonly swap: boolean;
  readonly hugetlb: boolean;
}

const int = (value: number | undefined): bigint => BigInt(value ?? 0);

/** ContainerStatus.resources: what is set, in the words of the request; 0 and empty for what is not. */
export const resourcesInForce = (
  { memory = {}, cpu = {}, hugepageLimits = [], unified = {} }: OciResources,
  oomScoreAdj: number | undefined,
  counted: Counted,
): LinuxContainerResources => ({
  cpu_period: int(cpu.period),
  cpu_quota: int(cpu.quota),
  cpu_shares: int(cpu.shares),
  memory_limit_in_bytes: int(memory.limit),
  memory_swap_limit_in_bytes: counted.swap ? int(memory.swap) : 0n,
  oom_score_adj: int(oomScoreAdj),
  cpuset_cpus: cpu.cpus ?? '',
  cpuset_mems: cpu.mems ?? '',
  hugepage_limits: hugepageLimits
    .filter(() => counted.hugetlb)
    .map(({ pageSize, limit }) => ({ page_size: pageSize, limit: int(limit) })),
  unified: { ...unified },
});

const swapOnTop = (now: LinuxContainerResources, request: LinuxResources): bigint => {
  const [limit, swap] = [now.memory_limit_in_bytes, now.memory_swap_limit_in_bytes];
  const wanted = BigInt(request.memory_limit_in_bytes ?? 0);
  if (wanted <= 0n || limit <= 0n || swap === limit) return 0n;
  return swap > limit ? wanted + (swap - limit) : swap;
};

const hugepages = (now: LinuxContainerResources, request: LinuxResources): LinuxResources['hugepage_limits'] => {
  const given = request.hugepage_limits ?? [];
  const sizes = new Set(given.map(({ page_size }) => page_size));
  return [...now.hugepage_limits.filter(({ page_size }) => !sizes.has(page_size)), ...given];
};

/** Of two names for one file the one that is given now is meant: the other's value is gone from the kernel. */
const withoutOthers = (now: LinuxContainerResources, request: LinuxResources): LinuxContainerResources => {
  const left: Record<string, unknown> = { ...now };
  const unified = { ...now.unified };
  for (const [file, fields] of Object.entries(fieldsOfFile)) {
    if (fields.some((field) => request[field])) delete unified[file];
    const none = { bigint: 0n, string: '' } as const;
    if (request.unified?.[file] !== undefined)
      for (const field of fields) left[field] = none[typeof now[field] as keyof typeof none];
  }
  return { ...(left as unknown as LinuxContainerResources), unified };
};

/**
 * What is in force once `request` is done: 0 and empty leave a limit as it is. A new memory limit leaves the amount of
 * swap, which is none unless the container was given some.
 */
export const updatedResources = (now: LinuxContainerResources, request: LinuxResources): LinuxResources => {
  const left = withoutOthers(now, request);
  const given = Object.entries(request).filter(([, value]) => value !== '' && value !== 0 && value !== 0n);
  const asked = Object.fromEntries(given) as LinuxResources;
  const hasSwap = request.memory_swap_limit_in_bytes || !request.memory_limit_in_bytes;
  return {
    ...left,
    ...asked,
    ...(hasSwap ? {} : { memory_swap_limit_in_bytes: swapOnTop(left, request) }),
    hugepage_limits: hugepages(left, request),
    unified: { ...left.unified, ...request.unified },
  };
};

/** The part of `merged`, made from `updatedResources`, whose files change: a file may hold what two fields say. */
export const changedResources = (merged: OciResources, request: LinuxResources): OciResources => {
  const { shares, quota, period, cpus, mems } = merged.cpu ?? {};
  const bandwidth = request.cpu_quota || request.cpu_period;
  const sizes = (request.hugepage_limits ?? []).map(({ page_size }) => page_size);
  const files = Object.keys(request.unified ?? {});
  return {
    devices: [],
    memory: request.memory_limit_in_bytes || request.memory_swap_limit_in_bytes ? (merged.memory ?? {}) : {},
    cpu: {
      ...(request.cpu_shares && shares !== undefined ? { shares } : {}),
      ...(bandwidth && quota !== undefined ? { quota } : {}),
      ...(bandwidth && period !== undefined ? { period } : {}),
      ...(request.cpuset_cpus && cpus !== undefined ? { cpus } : {}),
      ...(request.cpuset_mems && mems !== undefined ? { mems } : {}),
    },
    hugepageLimits: (merged.hugepageLimits ?? []).filter(({ pageSize }) => sizes.includes(pageSize)),
    unified: Object.fromEntries(Object.entries(merged.unified ?? {}).filter(([file]) => files.includes(file))),
  };
};
