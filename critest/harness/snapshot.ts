import type { World } from './world.ts';

/** What a machine has: one list a kind. The same state gives the same text. */
export type Snapshot = ReadonlyMap<string, readonly string[]>;

/** A command in the test's world, and what is kept of a line: undefined for what does not count. */
interface Section {
  readonly command: string;
  keep?(line: string): string | undefined;
}

const ownWords = /^(bash|sh|ps|docker-registry|nsenter) /;
const guests = (line: string): string | undefined => (ownWords.test(line) ? undefined : line);
// With the machine's pids those of others come and go; what a container leaves is in its cgroup.
const ours = (line: string): string | undefined => (line.startsWith('berth') ? line.trim() : undefined);
const counters = /\[[0-9:]*\]/;
const linkState = / link\/.*| state [A-Z]*|,?(NO-CARRIER|LOWER_UP),?/g;

// Counters, ids and addresses that change by themselves are cut away: here, since each program in a pipe costs a fork.
const sections = (world: World): Readonly<Record<string, Section>> => ({
  'mounts of the machine': { command: 'cat /run/berth-test-mounts' },
  mounts: { command: 'cat /proc/self/mountinfo' },
  links: {
    command: 'ip -o link',
    keep: (line) =>
      line
        .replace(/^[0-9]*: /, '')
        .replace(/@if[0-9]*/, '')
        .replace(linkState, ''),
  },
  addresses: { command: 'ip -o addr', keep: (line) => line.split(/\s+/).slice(1, 4).join(' ') },
  routes: { command: 'ip route; ip -6 route', keep: (line) => line.replace(' linkdown', '').trim() },
  'network namespaces': {
    command: `for f in ${world.directory}/netns/* /run/netns/*; do [ ! -e "$f" ] || echo "\${f##*/}"; done`,
  },
  rules: {
    command: 'iptables-save; ip6tables-save; nft list ruleset',
    keep: (line) => (line.startsWith('#') ? undefined : line.replace(counters, '')),
  },
  cgroups: {
    command: `set --; for d in /sys/fs/cgroup/${world.cgroup} /sys/fs/cgroup/*/${world.cgroup}; do [ ! -d "$d" ] || set -- "$@" "$d"; done; [ $# = 0 ] || find "$@" -type d`,
  },
  processes: world.systemd
    ? { command: 'ps -e -o comm= -o args= -o mntns= | grep " $(ps -o mntns= $$)$"', keep: ours }
    : { command: 'ps -e -o comm= -o args=', keep: guests },
  files: { command: `cd ${world.directory} && find . ! -name '*.tmp' ! -path './log*' -printf '%y %p\\n'` },
});

const mark = '==== ';

/** Taken by one shell in the world, some 30 ms. */
export const takeSnapshot = async (world: World): Promise<Snapshot> => {
  const wanted = sections(world);
  const script = Object.entries(wanted)
    .map(([name, { command }]) => `echo '${mark}${name}'; { ${command}; } 2>/dev/null`)
    .join('\n');
  const snapshot = new Map<string, string[]>();
  let section = '';
  for (const line of (await world.sh(`${script}\ntrue`)).split('\n')) {
    if (line.startsWith(mark)) section = line.slice(mark.length);
    else if (line !== '') {
      const { keep = (kept: string) => kept } = wanted[section] ?? {};
      const kept = keep(line);
      if (kept !== undefined) listIn(snapshot, section).push(kept);
    }
  }
  return withoutMachine(snapshot);
};

/** The mounts that the world was made with are the machine's, which come and go as it likes. */
const withoutMachine = (snapshot: Map<string, string[]>): Snapshot => {
  const machine = new Set(snapshot.get('mounts of the machine'));
  snapshot.delete('mounts of the machine');
  const mounts = (snapshot.get('mounts') ?? []).map((line) => line.split(' '));
  const own = mounts.filter(([id = '']) => !machine.has(id)).map((words) => words.slice(3, 6).join(' '));
  return snapshot.set('mounts', own);
};

const listIn = (snapshot: Map<string, string[]>, section: string): string[] => {
  const list = snapshot.get(section) ?? [];
  snapshot.set(section, list);
  return list;
};

const without = (lines: readonly string[], others: readonly string[]): string[] => {
  const counts = new Map<string, number>();
  for (const line of others) counts.set(line, (counts.get(line) ?? 0) + 1);
  return lines.filter((line) => {
    const count = counts.get(line) ?? 0;
    counts.set(line, count - 1);
    return count <= 0;
  });
};

/** `+ mounts: …` for what is new, `- links: …` for what is gone; none when both are the same. */
export const difference = (before: Snapshot, after: Snapshot, ignore?: RegExp): string[] => {
  const changes = [...new Set([...before.keys(), ...after.keys()])].flatMap((section) => {
    const [earlier, lines] = [before.get(section) ?? [], after.get(section) ?? []];
    return [
      ...without(lines, earlier).map((line) => `+ ${section}: ${line}`),
      ...without(earlier, lines).map((line) => `- ${section}: ${line}`),
    ];
  });
  return ignore === undefined ? changes : changes.filter((change) => !ignore.test(change));
};
