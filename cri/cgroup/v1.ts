import { BerthError } from '../../base/errors.ts';
import type { OciDeviceRule, OciResources } from '../../shim/oci.ts';
import { v1BlockIo } from './block-io.ts';
import { fieldOf } from './field.ts';
import { type CgroupMode, hierarchyOf } from './mode.ts';
import { type CgroupWrite, noneIsKept } from './write.ts';

const defaultPeriod = 100_000;

type Values = readonly (readonly [file: string, value: string | number | undefined, optional?: true | undefined])[];

// The files of one controller. A limit for a controller that the machine lacks is an error: it would not be kept.
const forController = (mode: CgroupMode, path: string, controller: string, values: Values): readonly CgroupWrite[] => {
  const set = values.filter(([, value]) => value !== undefined);
  const mount = hierarchyOf(mode, controller)?.mount;
  if (set.length === 0) return [];
  if (mount === undefined)
    throw new BerthError(
      'failed-precondition',
      `${fieldOf(set[0]?.[0] ?? '')}: this machine has no cgroup controller ${controller}`,
    );
  return set.map(([file, value, optional]) => ({
    file: `${mount}${path}/${file}`,
    value: String(value),
    ...(optional && { optional }),
  }));
};

// The limit before memory and swap together: the second must never be below the first (cgroup-v1/memory.rst, 6.1).
const memory = (mode: CgroupMode, { limit, swap }: NonNullable<OciResources['memory']>): Values => [
  ['memory.limit_in_bytes', limit],
  ['memory.memsw.limit_in_bytes', mode.swap ? swap : undefined],
];

const cpu = ({ shares, quota, period }: NonNullable<OciResources['cpu']>): Values => [
  ['cpu.shares', shares],
  ['cpu.cfs_period_us', period ?? (quota === undefined ? undefined : defaultPeriod)],
  ['cpu.cfs_quota_us', quota],
];

const device = ({ type, major, minor, access }: OciDeviceRule): string =>
  type === undefined || type === 'a' ? `a *:* ${access}` : `${type} ${major ?? '*'}:${minor ?? '*'} ${access}`;

// A new cgroup has its parent's list. "a" to a child of a restricted parent fails, so allowing all writes nothing.
const devices = (rules: readonly OciDeviceRule[]): Values => {
  const all = rules.findLastIndex(({ type }) => type === undefined || type === 'a');
  const rest = rules.slice(all + 1).map((rule) => [`devices.${rule.allow ? 'allow' : 'deny'}`, device(rule)] as const);
  return rules[all]?.allow === false ? [['devices.deny', 'a'], ...rest] : rest;
};

// kubelet names every page size with limit 0; without the controller nobody can use huge pages of a hugetlbfs anyway by cgroup.
const hugepages = (mode: CgroupMode, limits: NonNullable<OciResources['hugepageLimits']>): Values =>
  limits
    .filter(({ limit }) => limit !== 0 || hierarchyOf(mode, 'hugetlb') !== undefined)
    .flatMap(({ pageSize, limit }) => [
      [`hugetlb.${pageSize}.limit_in_bytes`, limit, noneIsKept(limit)],
      // What is reserved as well, as runc has it: else a process is killed when it touches what it was given. Linux 5.7.
      [`hugetlb.${pageSize}.rsvd.limit_in_bytes`, limit, true],
    ]);

const blockIo = (limits: OciResources['blockIO']): Values => v1BlockIo(limits).map(({ file, value }) => [file, value]);

const checkUnified = (unified: OciResources['unified']): void => {
  const [key] = Object.keys(unified ?? {});
  if (key !== undefined) throw new BerthError('failed-precondition', `unified: ${key}: this machine has cgroup v1`);
};

/** The limits as writes into the container's directories, in the order that the kernel needs. cpuset is apart. */
export const v1Writes = (mode: CgroupMode, path: string, resources: OciResources): CgroupWrite[] => {
  checkUnified(resources.unified);
  const at = (controller: string, values: Values): readonly CgroupWrite[] =>
    forController(mode, path, controller, values);
  return [
    ...at('memory', memory(mode, resources.memory ?? {})),
    ...at('cpu', cpu(resources.cpu ?? {})),
    ...at('pids', [['pids.max', resources.pids?.limit]]),
    ...at('hugetlb', hugepages(mode, resources.hugepageLimits ?? [])),
    ...at('blkio', blockIo(resources.blockIO)),
    ...at('devices', devices(resources.devices)),
  ];
};
