import { invalid } from '../../base/errors.ts';
import type { OciBlockIo, OciDeviceRule, OciResources } from '../../shim/oci.ts';
import { formatList, parseList } from '../cgroup/list.ts';
import { amount } from '../cgroup/properties.ts';
import type { Int64, LinuxResources } from './types.ts';
import { boundedInt, hasControl, int64 } from './values.ts';

// A limit beyond 2^53-1 bytes is no limit on any machine; JSON holds no larger number exactly.
const clamp = (value: bigint): number =>
  Number(value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : value);

/** Less than this and the first process cannot be made: the start would end out of memory without a word. */
const minMemory = 512 * 1024;

const memoryLimit = (value: Int64 | undefined, least: number): number | undefined => {
  const limit = int64(value, 'memory_limit_in_bytes');
  if (limit === 0n) return undefined;
  if (limit === -1n) return -1;
  if (limit < 0n) throw invalid(`memory_limit_in_bytes: ${limit} is negative`);
  if (limit < least)
    throw invalid(`memory_limit_in_bytes: ${limit} is less than ${least}, a process cannot start in it`);
  return clamp(limit);
};

// Memory and swap together, as in cgroup v1. Without a word about swap there is none, as Kubernetes expects.
const swapLimit = (value: Int64 | undefined, memory: number | undefined): number | undefined => {
  const limit = int64(value, 'memory_swap_limit_in_bytes');
  if (limit === 0n) return memory;
  if (limit === -1n) return -1;
  if (limit < 0n) throw invalid(`memory_swap_limit_in_bytes: ${limit} is negative`);
  if (memory === undefined || memory === -1) throw invalid('memory_swap_limit_in_bytes: without memory_limit_in_bytes');
  if (limit < memory)
    throw invalid(`memory_swap_limit_in_bytes: ${limit} is less than memory_limit_in_bytes, ${memory}`);
  return clamp(limit);
};

const cpuset = (text: string | undefined, field: string): string | undefined => {
  if (!text) return undefined;
  const list = parseList(text);
  if (list === undefined) throw invalid(`${field}: ${JSON.stringify(text.slice(0, 256))} is not a list such as 0-3,7`);
  return formatList(list);
};

// The kernel's bounds (sched/core.c, sched_group_set_shares), which it keeps without a word.
const sharesInBounds = (shares: number): number => Math.min(Math.max(shares, 2), 262_144);

// sched-bwc.rst: the period where a quota comes without one.
const defaultPeriod = 100_000;

const cpu = (request: LinuxResources): OciResources['cpu'] => {
  const shares = boundedInt(request.cpu_shares, 'cpu_shares', 0);
  const quota = boundedInt(request.cpu_quota, 'cpu_quota', -1);
  const period = boundedInt(request.cpu_period, 'cpu_period', 0);
  // The kernel's bounds, Documentation/scheduler/sched-bwc.rst: a period of 1 ms to 1 s, a quota of 1 ms or more.
  if (period !== 0 && (period < 1000 || period > 1_000_000))
    throw invalid(`cpu_period: ${period} is not between 1000 and 1000000`);
  if (quota > 0 && quota < 1000) throw invalid(`cpu_quota: ${quota} is less than 1000`);
  const cpus = cpuset(request.cpuset_cpus, 'cpuset_cpus');
  const mems = cpuset(request.cpuset_mems, 'cpuset_mems');
  return {
    ...(shares === 0 ? {} : { shares: sharesInBounds(shares) }),
    ...(quota === 0 ? {} : { quota }),
    ...(period === 0 && quota === 0 ? {} : { period: period || defaultPeriod }),
    ...(cpus === undefined ? {} : { cpus }),
    ...(mems === undefined ? {} : { mems }),
  };
};

const hugepages = (limits: LinuxResources['hugepage_limits']): OciResources['hugepageLimits'] =>
  (limits ?? []).map(({ page_size = '', limit }) => {
    if (!/^[1-9]\d{0,9}(?:KB|MB|GB)$/.test(page_size))
      throw invalid(`hugepage_limits: page_size ${JSON.stringify(page_size.slice(0, 40))} is not such as 2MB`);
    const bytes = int64(limit, 'hugepage_limits: limit');
    if (bytes < 0n) throw invalid(`hugepage_limits: ${page_size}: ${bytes} is negative`);
    return { pageSize: page_size, limit: clamp(bytes) };
  });

// The key becomes a file name in the container's cgroup: one that is a controller's, never cgroup.procs or a path.
const unified = (request: LinuxResources['unified']): Readonly<Record<string, string>> => {
  const entries = Object.entries(request ?? {}).map(([key, value = '']) => {
    if (!/^(?!cgroup\.)[a-z0-9_]{1,32}(?:\.[A-Za-z0-9_]{1,64}){1,4}$/.test(key))
      throw invalid(`unified: ${JSON.stringify(key.slice(0, 128))} is not a file of a cgroup v2 controller`);
    if (value.length > 4096 || hasControl(value))
      throw invalid(`unified: the value of ${key} is too long or holds a control character`);
    if (value.trim() === '') throw invalid(`unified: the value of ${key} is empty`);
    return [key, value] as const;
  });
  return Object.fromEntries(entries);
};

/** Files of v2 that are also fields of the request: one of the two. */
export const fieldsOfFile: Readonly<Record<string, readonly (keyof LinuxResources)[]>> = {
  'memory.max': ['memory_limit_in_bytes'],
  'memory.swap.max': ['memory_swap_limit_in_bytes'],
  'cpu.weight': ['cpu_shares'],
  'cpu.max': ['cpu_quota', 'cpu_period'],
  'cpuset.cpus': ['cpuset_cpus'],
  'cpuset.mems': ['cpuset_mems'],
};

/** Errors: invalid-argument for a file of v2 that is given in both ways. */
export const checkTwice = (request: LinuxResources): void => {
  for (const key of Object.keys(request.unified ?? {})) {
    const field = fieldsOfFile[key]?.find((name) => request[name]);
    if (field !== undefined) throw invalid(`unified: ${key}: ${field} is given as well and means the same file`);
  }
};

export interface ResourceSettings {
  /** Processes of one container; undefined or 0 for no limit. */
  readonly pids?: number | undefined;
  /** For a pod as a whole, which has no process of its own, there is no least memory. */
  readonly pod?: boolean;
  /** What annotations say, where the configuration allows it. */
  readonly blockIO?: OciBlockIo | undefined;
}

/** The request's limits, checked, in the OCI shape. What is 0 or empty is not set. */
export const containerResources = (
  request: LinuxResources,
  devices: readonly OciDeviceRule[],
  settings: ResourceSettings,
): OciResources => {
  checkTwice(request);
  const limit = memoryLimit(request.memory_limit_in_bytes, settings.pod ? 0 : minMemory);
  const files = unified(request.unified);
  const ownLimit = amount(files['memory.max']?.trim() ?? 'max');
  if (ownLimit !== undefined && ownLimit < minMemory && !settings.pod)
    throw invalid(`unified: memory.max: ${ownLimit} is less than ${minMemory}, a process cannot start in it`);
  const ownSwap = request.unified?.['memory.swap.max'] !== undefined;
  const swap = ownSwap ? undefined : swapLimit(request.memory_swap_limit_in_bytes, limit);
  return {
    devices,
    memory: { ...(limit === undefined ? {} : { limit }), ...(swap === undefined ? {} : { swap }) },
    cpu: cpu(request) ?? {},
    ...(settings.pids ? { pids: { limit: settings.pids } } : {}),
    hugepageLimits: hugepages(request.hugepage_limits) ?? [],
    unified: files,
    ...(settings.blockIO === undefined ? {} : { blockIO: settings.blockIO }),
  };
};

/**
 * oom_score_adj; undefined when there are no resources, and the process keeps its parent's. `lowest` is what a runtime
 * without CAP_SYS_RESOURCE can give: what is below becomes that.
 */
export const oomScoreAdj = (request: LinuxResources | undefined, lowest = -1000): number | undefined =>
  request && Math.max(boundedInt(request.oom_score_adj, 'oom_score_adj', -1000, 1000), lowest);
