import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { namesIn } from '../../base/files.ts';
import type { Place } from './place.ts';
import { ownProcesses } from './processes.ts';
import { currentRules, ownRules, type Rule } from './rules.ts';

/** What the machine had before; the rest is recognised by the place's own names. */
export interface Before {
  readonly links: readonly string[];
  readonly rules: readonly Rule[];
  /** File in /proc/sys → its content: the bridge plugin turns forwarding on. */
  readonly switches: ReadonlyMap<string, string>;
}

const switchFiles = ['/proc/sys/net/ipv4/ip_forward', '/proc/sys/net/ipv6/conf/all/forwarding'];

/** /sys may show another network namespace; /proc/self does not. */
const links = async (): Promise<string[]> =>
  [...(await readFile('/proc/self/net/dev', 'utf8')).matchAll(/^ *([^ :|]+):/gm)].map(([, name = '']) => name);

export const lookBefore = async (): Promise<Before> => {
  const switches = await Promise.all(
    switchFiles.map(async (file) => [file, await readFile(file, 'utf8').catch(() => '')] as const),
  );
  return { links: await links(), rules: await currentRules(), switches: new Map(switches) };
};

export interface Traces {
  readonly mounts: readonly string[];
  readonly namespaces: readonly string[];
  readonly links: readonly string[];
  readonly cgroups: readonly string[];
  readonly processes: readonly string[];
  readonly rules: readonly Rule[];
  readonly directories: readonly string[];
}

/** In `/proc/self/mountinfo` the fifth word is the mount point. */
export const ownMounts = async ({ directory }: Place): Promise<string[]> => {
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n');
  return lines
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point === directory || point.startsWith(`${directory}/`));
};

/** Our cgroup in each hierarchy with all below it, the deepest first. */
export const ownCgroups = async ({ cgroup }: Place): Promise<string[]> => {
  const top = '/sys/fs/cgroup';
  const candidates = [join(top, cgroup), ...(await namesIn(top)).map((name) => join(top, name, cgroup))];
  return (await Promise.all(candidates.map(directoriesIn))).flat();
};

const directoriesIn = async (path: string): Promise<string[]> => {
  const info = await lstat(path).catch(() => undefined);
  if (info?.isDirectory() !== true) return [];
  const entries = await readdir(path, { withFileTypes: true }).catch(() => []);
  const below = await Promise.all(
    entries.filter((entry) => entry.isDirectory()).map(({ name }) => directoriesIn(join(path, name))),
  );
  return [...below.flat(), path];
};

const isOwnLink = (name: string, place: Place): boolean => name === place.bridge || name.startsWith('veth');

/** Everything of the quickstart that the machine still has. */
export const tracesOf = async (place: Place, before: Before): Promise<Traces> => ({
  mounts: await ownMounts(place),
  namespaces: (await namesIn(place.netns)).map((name) => join(place.netns, name)),
  links: (await links()).filter((name) => !before.links.includes(name) && isOwnLink(name, place)),
  cgroups: await ownCgroups(place),
  processes: (await ownProcesses(place)).map(({ pid, name }) => `${name} (${pid})`),
  rules: ownRules(before.rules, await currentRules()),
  directories: (await lstat(place.directory).catch(() => undefined)) === undefined ? [] : [place.directory],
});

export const countOf = (traces: Traces): number =>
  Object.values(traces).reduce((sum: number, list: readonly unknown[]) => sum + list.length, 0);

export const inLines = (traces: Traces): string =>
  Object.entries(traces)
    .flatMap(([kind, list]: [string, readonly unknown[]]) =>
      list.map((item) => `  ${kind}: ${typeof item === 'string' ? item : JSON.stringify(item)}\n`),
    )
    .join('');
