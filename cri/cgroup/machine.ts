import { readdirSync, readFileSync } from 'node:fs';
import { errnoOf, invalid } from '../../base/errors.ts';
import type { OciResources } from '../../shim/oci.ts';
import { missingFrom, parseList } from './list.ts';

/** What a request can name: lists such as "0-3", and sizes such as "2MB". It changes while the daemon runs (hotplug). */
export interface Machine {
  readonly cpus: string;
  readonly mems: string;
  readonly pageSizes: readonly string[];
}

const orElse = <T>(read: () => T, missing: T): T => {
  try {
    return read();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return missing;
    throw error;
  }
};

const text = (path: string, missing: string): string => orElse(() => readFileSync(path, 'utf8').trim(), missing);

// "hugepages-2048kB" is 2MB in the names of the controller's files.
const pageSize = (name: string): string => {
  let size = Number(/^hugepages-(\d+)kB$/.exec(name)?.[1]);
  let unit = 0;
  for (; size % 1024 === 0 && unit < 2; unit += 1) size /= 1024;
  return `${size}${['KB', 'MB', 'GB'][unit]}`;
};

/** From sysfs, which answers from memory: quicker on this thread than over the thread pool. */
export const readMachine = (): Machine => ({
  cpus: text('/sys/devices/system/cpu/online', '0'),
  mems: text('/sys/devices/system/node/online', '0'),
  pageSizes: orElse(() => readdirSync('/sys/kernel/mm/hugepages'), []).map(pageSize),
});

const checkList = (wanted: string | undefined, there: string, field: string, what: string): void => {
  const missing = missingFrom(parseList(wanted ?? '') ?? [], parseList(there) ?? []);
  if (missing !== undefined)
    throw invalid(`${field}: ${wanted}: this machine has no ${what} ${missing}, it has ${there}`);
};

/** Errors: invalid-argument that names the request's field, for what this machine does not have. */
export const checkMachine = ({ cpu, hugepageLimits = [] }: OciResources, machine: Machine): void => {
  checkList(cpu?.cpus, machine.cpus, 'cpuset_cpus', 'processor');
  checkList(cpu?.mems, machine.mems, 'cpuset_mems', 'memory node');
  const unknown = hugepageLimits.find(({ pageSize: size, limit }) => limit > 0 && !machine.pageSizes.includes(size));
  if (unknown !== undefined)
    throw invalid(
      `hugepage_limits: this machine has no pages of ${unknown.pageSize}, it has ${machine.pageSizes.join(', ') || 'none that are huge'}`,
    );
};
