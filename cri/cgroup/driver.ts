import { readFile, stat } from 'node:fs/promises';
import { BerthError, orMissing } from '../../base/errors.ts';
import type { Config } from '../config/index.ts';
import type { Log } from '../log.ts';
import type { CgroupMode } from './mode.ts';
import type { DriverName, ParentSettings } from './parent.ts';
import { type Systemd, systemdSocket } from './systemd.ts';

/** Who makes the cgroups of containers. `systemd` is there also for the other driver: scopes of an earlier one may still run. */
export interface CgroupDriver extends ParentSettings {
  readonly systemd: Systemd;
  /** The service that berthd is. */
  readonly ownUnit: string;
}

const defaultParents: Readonly<Record<DriverName, string>> = { systemd: 'berth.slice', cgroupfs: '/berth' };

/** Why systemd cannot drive the cgroups of this machine; undefined when it can. */
const obstacle = async (mode: CgroupMode, systemd: Systemd): Promise<string | undefined> => {
  if (mode.version === 1) return 'this machine has cgroup v1, on which Berth drives cgroups by cgroupfs alone';
  const [booted, init] = await Promise.all([
    orMissing(stat('/run/systemd/system')),
    orMissing(readFile('/proc/1/comm', 'utf8')),
  ]);
  // It reads our pids as its own: another init means another pid namespace.
  if (booted === undefined || init?.trim() !== 'systemd') return 'systemd is not what this machine was started with';
  if ((await orMissing(stat(systemdSocket))) === undefined) return `there is no ${systemdSocket}`;
  // One that is there and does not answer is no reason for the other driver: pods would be refused, or be in two trees.
  await systemd.version();
  return undefined;
};

/** From the text of /proc/self/cgroup. */
const unitOf = (self: string): string => /\/([^/\n]+\.service)(?:\/|$)/m.exec(self)?.[1] ?? 'berth.service';

const isSlice = (parent: string): boolean => parent.endsWith('.slice');

/** By the machine, unless the configuration says it: by name, or by a parent that only one of them can have. */
export const chosen = async (
  { driver, parent }: Pick<Config['cgroup'], 'driver' | 'parent'>,
  find: () => Promise<string | undefined>,
): Promise<{ readonly name: DriverName; readonly why: string }> => {
  if (driver === 'cgroupfs' || (driver === 'auto' && parent !== '' && !isSlice(parent)))
    return { name: 'cgroupfs', why: driver === 'auto' ? 'cgroup.parent is a path' : 'configured' };
  const missing = await find();
  if (missing === undefined) return { name: 'systemd', why: driver === 'auto' ? 'found' : 'configured' };
  if (driver === 'systemd' || isSlice(parent))
    throw new BerthError('failed-precondition', `cgroup.${driver === 'systemd' ? 'driver' : 'parent'}: ${missing}`);
  return { name: 'cgroupfs', why: missing };
};

/** Errors: failed-precondition when the configuration wants what the machine has not. */
export const openDriver = async (
  config: Config,
  mode: CgroupMode,
  log: Log,
  systemd: Systemd,
): Promise<CgroupDriver> => {
  const { name, why } = await chosen(config.cgroup, () => obstacle(mode, systemd));
  log.info({ driver: name, why }, 'cgroups are driven');
  // Whoever did not start berthd as a service of its own may be one that is still starting: scopes would wait for that.
  const own = process.env.NOTIFY_SOCKET === undefined ? '' : await readFile('/proc/self/cgroup', 'utf8');
  const ownUnit = unitOf(own);
  return { driver: name, parent: config.cgroup.parent || defaultParents[name], systemd, ownUnit };
};
