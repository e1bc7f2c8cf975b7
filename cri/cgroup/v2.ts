import { BerthError } from '../../base/errors.ts';
import type { OciResources } from '../../shim/oci.ts';
import { v2BlockIo } from './block-io.ts';
import { fieldOf } from './field.ts';
import type { CgroupMode } from './mode.ts';
import { type CgroupWrite, noneIsKept } from './write.ts';

type Unified = NonNullable<CgroupMode['unified']>;
type Values = readonly (readonly [
  controller: string,
  file: string,
  value: string | number | undefined,
  optional?: true | undefined,
])[];

// What limits containers; the rest of the machine's controllers stay as they are.
export const controllersOfContainers = ['cpuset', 'cpu', 'io', 'memory', 'hugetlb', 'pids'];

/** Hands the controllers down to the container's cgroup: from the root to its parent, in this order (cgroup-v2.rst, 2-4). */
export const enableWrites = (
  unified: Unified,
  above: readonly string[],
  wanted: readonly string[],
): readonly CgroupWrite[] => {
  const value = wanted
    .filter((name) => unified.controllers.includes(name))
    .map((name) => `+${name}`)
    .join(' ');
  if (value === '') return [];
  return ['', ...above].map((directory) => ({ file: `${unified.mount}${directory}/cgroup.subtree_control`, value }));
};

/**
 * cpu.shares (2..262144, default 1024) as cpu.weight (1..10000, default 100): the curve through these three points that
 * runc has since 1.3.2 and crun since 1.23 (opencontainers/cgroups, ConvertCPUSharesToCgroupV2Value); the
 * straight line before it gave a default container a weight of 39.
 */
export const cpuWeight = (shares: number): number => {
  if (shares <= 2) return 1;
  if (shares >= 262_144) return 10_000;
  const log = Math.log2(shares);
  return Math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34));
};

const orMax = (value: number | undefined): string | undefined =>
  value === undefined ? undefined : value < 0 ? 'max' : String(value);

// v2 counts swap alone, OCI and v1 memory and swap together.
const swapMax = ({ limit, swap }: NonNullable<OciResources['memory']>): string | undefined => {
  if (swap === undefined || swap < 0 || limit === undefined || limit < 0) return orMax(swap);
  return String(swap - limit);
};

const cpuMax = ({ quota, period }: NonNullable<OciResources['cpu']>): string | undefined =>
  quota === undefined && period === undefined
    ? undefined
    : `${quota === undefined || quota < 0 ? 'max' : quota} ${period ?? 100_000}`;

const hugepages = ({ controllers }: Unified, limits: NonNullable<OciResources['hugepageLimits']>): Values =>
  limits
    .filter(({ limit }) => limit !== 0 || controllers.includes('hugetlb'))
    .flatMap(({ pageSize, limit }) => [
      ['hugetlb', `hugetlb.${pageSize}.max`, limit, noneIsKept(limit)],
      ['hugetlb', `hugetlb.${pageSize}.rsvd.max`, limit, true],
    ]);

const blockIo = (limits: OciResources['blockIO']): Values =>
  v2BlockIo(limits).map(({ file, value, optional }) => ['io', file, value, optional]);

const unifiedValues = (unified: OciResources['unified']): Values =>
  Object.entries(unified ?? {}).map(([file, value]) => [file.split('.')[0] ?? '', file, value]);

const values = (mode: CgroupMode, unified: Unified, { memory = {}, cpu = {}, ...resources }: OciResources): Values => [
  // Before the limit: what is above a lower limit may go to a larger swap, instead of being killed.
  ['memory', 'memory.swap.max', mode.swap ? swapMax(memory) : undefined],
  ['memory', 'memory.max', orMax(memory.limit)],
  ['cpu', 'cpu.weight', cpu.shares === undefined ? undefined : cpuWeight(cpu.shares)],
  ['cpu', 'cpu.max', cpuMax(cpu)],
  ['cpuset', 'cpuset.cpus', cpu.cpus],
  ['cpuset', 'cpuset.mems', cpu.mems],
  ['pids', 'pids.max', resources.pids?.limit],
  ...hugepages(unified, resources.hugepageLimits ?? []),
  ...blockIo(resources.blockIO),
  ...unifiedValues(resources.unified),
];

/**
 * The limits as writes into the container's directory; `unified` of the request comes last and so wins.
 * Device rules are not files on v2 but a BPF program (device-program.ts).
 */
export const v2Writes = (
  mode: CgroupMode,
  unified: Unified,
  path: string,
  resources: OciResources,
): readonly CgroupWrite[] => {
  const set = values(mode, unified, resources).filter(([, , value]) => value !== undefined);
  const missing = set.find(([controller]) => !unified.controllers.includes(controller));
  if (missing)
    throw new BerthError(
      'failed-precondition',
      `${fieldOf(missing[1])}: this machine has no cgroup controller ${missing[0]}`,
    );
  return set.map(([, file, value, optional]) => ({
    file: `${unified.mount}${path}/${file}`,
    value: String(value),
    ...(optional && { optional }),
  }));
};
