import type { Input, LinuxContainerResources } from '../../api/generated/types.ts';

export type Resources = Input<LinuxContainerResources>;

/**
 * One file of the kernel, "controller/file", and what it holds when only `set` was asked for, then after `update`; "proc/file" is
 * the main process's own.
 */
export interface Row {
  readonly set: Resources;
  readonly update: Resources;
  /** Neither is there without this controller. */
  readonly controller: string;
  readonly v1: Readonly<Record<string, readonly [set: string, updated: string]>>;
  readonly v2: Readonly<Record<string, readonly [set: string, updated: string]>>;
  /** The properties of the scope where systemd drives cgroups, as `systemctl show` prints them. */
  readonly systemd: Readonly<Record<string, readonly [set: string, updated: string]>>;
  /** What the status tells beside what was asked for. */
  readonly told?: readonly [set: Resources, updated: Resources];
}

export const MiB = 1 << 20;

export const rows: Readonly<Record<string, Row>> = {
  cpu_shares: {
    set: { cpu_shares: 512n },
    update: { cpu_shares: 2048n },
    controller: 'cpu',
    v1: { 'cpu/cpu.shares': ['512', '2048'] },
    v2: { 'cpu/cpu.weight': ['59', '174'] },
    systemd: { CPUWeight: ['59', '174'] },
  },
  'cpu_quota and cpu_period': {
    set: { cpu_quota: 20_000n, cpu_period: 50_000n },
    update: { cpu_quota: 30_000n },
    controller: 'cpu',
    v1: { 'cpu/cpu.cfs_quota_us': ['20000', '30000'], 'cpu/cpu.cfs_period_us': ['50000', '50000'] },
    v2: { 'cpu/cpu.max': ['20000 50000', '30000 50000'] },
    systemd: { CPUQuotaPerSecUSec: ['400ms', '600ms'], CPUQuotaPeriodUSec: ['50ms', '50ms'] },
  },
  'cpu_quota alone has the period of 100 ms, and -1 is none': {
    set: { cpu_quota: 20_000n },
    update: { cpu_quota: -1n },
    controller: 'cpu',
    v1: { 'cpu/cpu.cfs_quota_us': ['20000', '-1'], 'cpu/cpu.cfs_period_us': ['100000', '100000'] },
    v2: { 'cpu/cpu.max': ['20000 100000', 'max 100000'] },
    told: [{ cpu_period: 100_000n }, { cpu_period: 100_000n }],
    systemd: { CPUQuotaPerSecUSec: ['200ms', 'infinity'], CPUQuotaPeriodUSec: ['100ms', '100ms'] },
  },
  'memory_limit_in_bytes, up: no swap with it': {
    set: { memory_limit_in_bytes: BigInt(32 * MiB) },
    update: { memory_limit_in_bytes: BigInt(64 * MiB) },
    controller: 'memory',
    v1: {
      'memory/memory.limit_in_bytes': [`${32 * MiB}`, `${64 * MiB}`],
      'memory/memory.memsw.limit_in_bytes': [`${32 * MiB}`, `${64 * MiB}`],
    },
    v2: { 'memory/memory.max': [`${32 * MiB}`, `${64 * MiB}`], 'memory/memory.swap.max': ['0', '0'] },
    told: [{ memory_swap_limit_in_bytes: BigInt(32 * MiB) }, { memory_swap_limit_in_bytes: BigInt(64 * MiB) }],
    systemd: { MemoryMax: [`${32 * MiB}`, `${64 * MiB}`], MemorySwapMax: ['0', '0'] },
  },
  'memory_swap_limit_in_bytes: the swap on top stays when the limit goes down': {
    set: { memory_limit_in_bytes: BigInt(64 * MiB), memory_swap_limit_in_bytes: BigInt(80 * MiB) },
    update: { memory_limit_in_bytes: BigInt(32 * MiB) },
    controller: 'memory',
    v1: {
      'memory/memory.limit_in_bytes': [`${64 * MiB}`, `${32 * MiB}`],
      'memory/memory.memsw.limit_in_bytes': [`${80 * MiB}`, `${48 * MiB}`],
    },
    v2: {
      'memory/memory.max': [`${64 * MiB}`, `${32 * MiB}`],
      'memory/memory.swap.max': [`${16 * MiB}`, `${16 * MiB}`],
    },
    told: [{}, { memory_swap_limit_in_bytes: BigInt(48 * MiB) }],
    systemd: { MemoryMax: [`${64 * MiB}`, `${32 * MiB}`], MemorySwapMax: [`${16 * MiB}`, `${16 * MiB}`] },
  },
  'memory_swap_limit_in_bytes alone, and -1 is none': {
    set: { memory_limit_in_bytes: BigInt(32 * MiB) },
    update: { memory_swap_limit_in_bytes: -1n },
    controller: 'memory',
    v1: {
      'memory/memory.limit_in_bytes': [`${32 * MiB}`, `${32 * MiB}`],
      'memory/memory.memsw.limit_in_bytes': [`${32 * MiB}`, '9223372036854771712'],
    },
    v2: { 'memory/memory.max': [`${32 * MiB}`, `${32 * MiB}`], 'memory/memory.swap.max': ['0', 'max'] },
    told: [{ memory_swap_limit_in_bytes: BigInt(32 * MiB) }, {}],
    systemd: { MemoryMax: [`${32 * MiB}`, `${32 * MiB}`], MemorySwapMax: ['0', 'infinity'] },
  },
  'cpuset_cpus and cpuset_mems': {
    set: { cpuset_cpus: '0', cpuset_mems: '0' },
    update: { cpuset_cpus: '1,0' },
    controller: 'cpuset',
    v1: { 'cpuset/cpuset.cpus': ['0', '0-1'], 'cpuset/cpuset.mems': ['0', '0'] },
    v2: { 'cpuset/cpuset.cpus': ['0', '0-1'], 'cpuset/cpuset.mems': ['0', '0'] },
    told: [{}, { cpuset_cpus: '0-1' }],
    systemd: { AllowedCPUs: ['0', '0-1'], AllowedMemoryNodes: ['0', '0'] },
  },
  unified: {
    set: { unified: { 'memory.high': `${32 * MiB}`, 'cpu.weight': '7' } },
    update: { unified: { 'memory.high': 'max', 'memory.oom.group': '1' } },
    controller: 'unified',
    v1: {},
    v2: {
      'memory/memory.high': [`${32 * MiB}`, 'max'],
      'memory/memory.oom.group': ['0', '1'],
      'cpu/cpu.weight': ['7', '7'],
    },
    told: [{}, { unified: { 'memory.high': 'max', 'cpu.weight': '7', 'memory.oom.group': '1' } }],
    systemd: { MemoryHigh: [`${32 * MiB}`, 'infinity'], CPUWeight: ['7', '7'] },
  },
  'unified: protection': {
    set: { unified: { 'memory.min': `${4 * MiB}`, 'memory.low': `${8 * MiB}` } },
    update: { unified: { 'memory.min': '0', 'memory.low': `${16 * MiB}` } },
    controller: 'unified',
    v1: {},
    v2: {
      'memory/memory.min': [`${4 * MiB}`, '0'],
      'memory/memory.low': [`${8 * MiB}`, `${16 * MiB}`],
    },
    systemd: { MemoryMin: [`${4 * MiB}`, '0'], MemoryLow: [`${8 * MiB}`, `${16 * MiB}`] },
    told: [{}, { unified: { 'memory.min': '0', 'memory.low': `${16 * MiB}` } }],
  },
  'unified: a quota that is no whole hundredth, and what it may save up': {
    set: { unified: { 'cpu.max': '12345 100000', 'cpu.max.burst': '5000' } },
    update: { unified: { 'cpu.max': '24000 100000' } },
    controller: 'unified',
    v1: {},
    v2: {
      'cpu/cpu.max': ['12345 100000', '24000 100000'],
      'cpu/cpu.max.burst': ['5000', '5000'],
    },
    systemd: { CPUQuotaPerSecUSec: ['130ms', '240ms'] },
    told: [{}, { unified: { 'cpu.max': '24000 100000', 'cpu.max.burst': '5000' } }],
  },
  hugepage_limits: {
    set: { hugepage_limits: [{ page_size: '2MB', limit: BigInt(2 * MiB) }] },
    update: { hugepage_limits: [{ page_size: '2MB', limit: BigInt(6 * MiB) }] },
    controller: 'hugetlb',
    v1: {
      'hugetlb/hugetlb.2MB.limit_in_bytes': [`${2 * MiB}`, `${6 * MiB}`],
      'hugetlb/hugetlb.2MB.rsvd.limit_in_bytes': [`${2 * MiB}`, `${6 * MiB}`],
    },
    v2: {
      'hugetlb/hugetlb.2MB.max': [`${2 * MiB}`, `${6 * MiB}`],
      'hugetlb/hugetlb.2MB.rsvd.max': [`${2 * MiB}`, `${6 * MiB}`],
    },
    systemd: {},
  },
  oom_score_adj: {
    set: { oom_score_adj: 300n },
    update: { oom_score_adj: 400n },
    controller: 'memory',
    v1: { 'proc/oom_score_adj': ['300', '400'] },
    v2: { 'proc/oom_score_adj': ['300', '400'] },
    systemd: {},
  },
};
