import type { Dirent } from 'node:fs';
import { access, lstat, opendir, readFile, realpath } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { invalid, orMissing } from '../base/errors.ts';
import type { Config } from './config/index.ts';
import { hasAppArmor } from './security/apparmor.ts';
import { readContainerContexts, type SelinuxHost } from './security/selinux.ts';
import type { HostDevice } from './spec/devices.ts';

export type { HostDevice };

/** Facts of the machine, read once at the daemon's start. */
export interface Host {
  readonly hostname: string;
  readonly appArmor: boolean;
  readonly selinux: SelinuxHost;
  /** The capabilities in the daemon's bounding set. */
  readonly capabilities: bigint;
  /** The highest RLIMIT_NOFILE that can be given: fs.nr_open, or the daemon's own limit without CAP_SYS_RESOURCE. */
  readonly nofile: number;
  /** The daemon's own oom_score_adj, which what it starts inherits. */
  readonly oomScoreAdj: number;
  /** The lowest oom_score_adj that can be given: berthd's own without CAP_SYS_RESOURCE. */
  readonly lowestOomScoreAdj: number;
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

const sysResource = 1n << 24n;

const highestNofile = async (capabilities: bigint): Promise<number> => {
  if ((capabilities & sysResource) !== 0n) return Number(await readFile('/proc/sys/fs/nr_open', 'utf8'));
  const limits = await readFile('/proc/self/limits', 'utf8');
  return Number(/^Max open files\s+\d+\s+(\d+)/m.exec(limits)?.[1] ?? 1024);
};

const readSelinux = async (isEnabled: boolean): Promise<SelinuxHost> => {
  if (!(await exists('/sys/fs/selinux/enforce'))) return { kind: 'absent' };
  return isEnabled ? { kind: 'on', contexts: await readContainerContexts() } : { kind: 'off' };
};

export const readHost = async ({ selinux }: Pick<Config, 'selinux'>): Promise<Host> => {
  const status = await readFile('/proc/self/status', 'utf8');
  const oomScoreAdj = Number(await readFile('/proc/self/oom_score_adj', 'utf8'));
  const capabilities = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'}`);
  return {
    hostname: hostname(),
    appArmor: await hasAppArmor(),
    selinux: await readSelinux(selinux.enable),
    capabilities,
    nofile: await highestNofile(capabilities),
    oomScoreAdj,
    lowestOomScoreAdj: (capabilities & sysResource) === 0n ? oomScoreAdj : -1000,
  };
};

/** Linux packs a device's numbers as major 12 bits, minor 20 bits, split (glibc's sys/sysmacros.h). */
const majorOf = (rdev: bigint): number => Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n));
const minorOf = (rdev: bigint): number => Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n));

const deviceAt = async (path: string): Promise<HostDevice | undefined> => {
  const info = await lstat(path, { bigint: true });
  if (!info.isBlockDevice() && !info.isCharacterDevice()) return undefined;
  return {
    path,
    type: info.isBlockDevice() ? 'b' : 'c',
    major: majorOf(info.rdev),
    minor: minorOf(info.rdev),
    mode: Number(info.mode & 0o7777n),
    uid: Number(info.uid),
    gid: Number(info.gid),
  };
};

/** What a container has of its own: never taken from the host. */
const own = new Set(['/dev/pts', '/dev/shm', '/dev/mqueue', '/dev/fd', '/dev/console', '/dev/ptmx']);

/** `/` or `/proc` as a device's host_path would be walked for ever, and fill the memory. */
const mostEntries = 16_384;

/**
 * The device at `path`, or all below it when it is a directory; a link such as those in /dev/disk/by-id is followed.
 * Empty when it is something else; ENOENT is thrown, and invalid-argument for a directory of more than `most` entries.
 */
export const hostDevices = async (path: string, most = mostEntries): Promise<readonly HostDevice[]> => {
  const real = await realpath(path);
  const info = await lstat(real);
  if (!info.isDirectory()) {
    const device = await deviceAt(real);
    return device === undefined ? [] : [{ ...device, path }];
  }
  const found: string[] = [];
  const directories = [real];
  let entries = 0;
  for (let next = directories.pop(); next !== undefined; next = directories.pop())
    for await (const entry of await entriesOf(next)) {
      entries += 1;
      if (entries > most)
        throw invalid(`device ${path}: a directory with more than ${most} entries, not one of devices`);
      const place = join(next, entry.name);
      if (own.has(place)) continue;
      if (entry.isDirectory()) directories.push(place);
      if (entry.isBlockDevice() || entry.isCharacterDevice()) found.push(place);
    }
  const devices = (await Promise.all(found.map((place) => orMissing(deviceAt(place))))).filter(
    (device) => device !== undefined,
  );
  return devices.map((device) => ({ ...device, path: join(path, device.path.slice(real.length)) }));
};

/** None when it has gone meanwhile: devices come and go. */
const entriesOf = async (path: string): Promise<AsyncIterable<Dirent> | readonly Dirent[]> =>
  (await orMissing(opendir(path, { bufferSize: 512 }))) ?? [];
