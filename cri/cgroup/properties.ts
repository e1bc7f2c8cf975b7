import { basename } from 'node:path';
import { parseList } from './list.ts';
import type { Property } from './systemd.ts';
import type { CgroupWrite } from './write.ts';

const infinity = 2n ** 64n - 1n;
const units: Readonly<Record<string, bigint>> = { '': 1n, K: 1n << 10n, M: 1n << 20n, G: 1n << 30n, T: 1n << 40n };

/** As the kernel reads it: "max", or a number that may end in K, M, G or T. */
export const amount = (text: string): bigint | undefined => {
  if (text === 'max') return infinity;
  const [, digits, unit = ''] = /^(\d{1,18})([KMGT]?)$/.exec(text.toUpperCase()) ?? [];
  return digits === undefined ? undefined : BigInt(digits) * (units[unit] ?? 1n);
};

const limit =
  (name: string, least = 0n, most = infinity) =>
  (text: string): readonly Property[] => {
    const value = amount(text);
    return value === undefined || value < least || value > most ? [] : [[name, 't', value]];
  };

/**
 * systemd keeps it as a share of a second of processor time, and after a reload only whole hundredths of that: the next larger one,
 * which the exact value in the file is within.
 */
const cpuMax = (text: string): readonly Property[] => {
  const [, quota = '', period = '100000'] = /^(max|\d{1,15})(?: (\d{1,7}))?$/.exec(text) ?? [];
  if (quota === '' || Number(period) === 0) return [];
  const step = 10_000n;
  const exact = quota === 'max' ? infinity : (BigInt(quota) * 1_000_000n) / BigInt(period);
  const perSecond = exact === infinity ? infinity : ((exact + step - 1n) / step) * step;
  return [
    ['CPUQuotaPerSecUSec', 't', perSecond],
    ['CPUQuotaPeriodUSec', 't', BigInt(period)],
  ];
};

/** A bit for each number, the lowest first. */
const bits =
  (name: string) =>
  (text: string): readonly Property[] => {
    const list = text === '' ? [] : parseList(text);
    if (list === undefined) return [];
    const last = list.at(-1)?.[1] ?? -1;
    const bytes = Buffer.alloc(Math.ceil((last + 1) / 8));
    for (const [from, to] of list)
      for (let bit = from; bit <= to; bit += 1) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (1 << (bit & 7));
    return [[name, 'ay', bytes]];
  };

const idle = (text: string): readonly Property[] => (text === '1' ? [['CPUWeight', 't', 0n]] : []);

const ioWeight = (text: string): readonly Property[] => limit('IOWeight', 1n, 10_000n)(text.replace(/^default /, ''));

/** The files of cgroup v2 that systemd writes itself (systemd.resource-control(5)). */
const files: Readonly<Record<string, (text: string) => readonly Property[]>> = {
  'memory.max': limit('MemoryMax', 1n),
  'memory.swap.max': limit('MemorySwapMax'),
  'memory.high': limit('MemoryHigh', 1n),
  'memory.low': limit('MemoryLow'),
  'memory.min': limit('MemoryMin'),
  'cpu.weight': limit('CPUWeight', 1n, 10_000n),
  'cpu.max': cpuMax,
  'cpu.idle': idle,
  'pids.max': limit('TasksMax', 1n),
  'cpuset.cpus': bits('AllowedCPUs'),
  'cpuset.mems': bits('AllowedMemoryNodes'),
  'io.weight': ioWeight,
};

/**
 * The same limits as systemd's properties of the unit, so that what it writes when it writes its files anew is what we wrote. What it
 * has no word for is in the files alone, which it leaves; so is a value that it would refuse: the kernel judges that.
 */
export const limitProperties = (writes: readonly Pick<CgroupWrite, 'file' | 'value'>[]): readonly Property[] => {
  const properties = new Map<string, Property>();
  for (const { file, value } of writes)
    for (const property of files[basename(file)]?.(value.trim()) ?? []) properties.set(property[0], property);
  return [...properties.values()];
};

/** What systemd fills with values of its own as well, and takes no word for in every version from 252 on (cgroup_context_apply). */
const overwritten = [
  'memory.oom.group',
  'memory.zswap.max',
  'memory.zswap.writeback',
  'io.bfq.weight',
  'cpu.weight.nice',
];

const keeps = (name: string, text: string): boolean => {
  const properties = files[name]?.(text) ?? [];
  if (properties.length === 0) return false;
  const [, quota = '', period = '100000'] = name === 'cpu.max' ? (/^(\d+)(?: (\d+))?$/.exec(text) ?? []) : [];
  return quota === '' || (Number(quota) * 100) % Number(period) === 0;
};

/**
 * Of a container's limits those that are lost when systemd writes its unit's files, which it does with all of them at once: after any
 * change of a property, and, up to some version, after a reload. They are to be written again then.
 */
export const notKept = <Write extends Pick<CgroupWrite, 'file' | 'value'>>(
  writes: readonly Write[],
): readonly Write[] =>
  writes.filter(({ file, value }) => {
    const name = basename(file);
    return overwritten.includes(name) || (name in files && !keeps(name, value.trim()));
  });

/** Stopped before the scopes at a shutdown: it ends pods as kubelet would, and systemd ends what is left. */
const endOfPods = 'berth-pods.service';

export interface ScopeWish {
  readonly description: string;
  readonly slice: string;
  readonly pid: number;
  /** berthd's own unit: at a shutdown scopes stop before it. */
  readonly after: string;
  readonly stopSignal: number;
  /** Between the stop signal and SIGKILL when systemd stops the scope. */
  readonly stopSeconds: number;
  readonly writes: readonly CgroupWrite[];
}

/** systemd writes it into the unit's file, where another line would be another setting. */
const oneLine = (text: string): string => text.replaceAll(/\p{C}/gu, '?').slice(0, 200).toWellFormed();

/** Of the transient scope of one container. Without a limit of our own systemd's default one would hold. */
export const scopeProperties = (wish: ScopeWish): readonly Property[] => {
  const limits = limitProperties(wish.writes);
  const unlimited: readonly Property[] = limits.some(([name]) => name === 'TasksMax')
    ? []
    : [['TasksMax', 't', infinity]];
  return [
    ['Description', 's', oneLine(wish.description)],
    ['PIDs', 'au', [wish.pid]],
    ['Slice', 's', wish.slice],
    ['Delegate', 'b', true],
    ['CollectMode', 's', 'inactive-or-failed'],
    ['After', 'as', [wish.after]],
    ['Before', 'as', [endOfPods]],
    ['KillSignal', 'i', wish.stopSignal],
    ['TimeoutStopUSec', 't', BigInt(wish.stopSeconds) * 1_000_000n],
    ...unlimited,
    ...limits,
  ];
};
