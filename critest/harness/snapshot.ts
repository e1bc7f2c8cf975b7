import type { World } from './world.ts';

/** What a machine has: one list a kind. The same state gives the same text. */
export type Snapshot = ReadonlyMap<string, readonly string[]>;

// Each section is a command in the test's world. Counters, ids and addresses that change by themselves are cut away.
const sections = (world: World): Readonly<Record<string, string>> => ({
  mounts: "awk 'NR == FNR {own[$1]; next} !($1 in own) {print $4, $5, $6}' /run/berth-test-mounts /proc/self/mountinfo",
  links:
    "ip -o link | sed -e 's/^[0-9]*: //' -e 's/@if[0-9]*//' -e 's/ link\\/.*//' -e 's/ state [A-Z]*//' -e 's/,\\?\\(NO-CARRIER\\|LOWER_UP\\),\\?//'",
  addresses: "ip -o addr | awk '{print $2, $3, $4}'",
  routes: "{ ip route; ip -6 route; } | sed 's/ linkdown *//; s/ *$//'",
  'network namespaces': `ls ${world.directory}/netns 2>/dev/null; ls /run/netns 2>/dev/null || true`,
  rules:
    "iptables-save | grep -v '^#' | sed 's/\\[[0-9:]*\\]//'; ip6tables-save | grep -v '^#' | sed 's/\\[[0-9:]*\\]//'; nft list ruleset",
  cgroups: `find /sys/fs/cgroup /sys/fs/cgroup/* -mindepth 1 -maxdepth 1 -name ${world.cgroup} -type d -exec find {} -type d ';' | sort -u`,
  processes: "ps -e -o comm= -o args= | grep -vE '^(bash|sh|ps|grep|sort|docker-registry|nsenter) '",
  files: `cd ${world.directory} && find . ! -name '*.tmp' ! -path './log*' -printf '%y %p\\n'`,
});

const mark = '==== ';

/** Taken by one shell in the world, some 30 ms. */
export const takeSnapshot = async (world: World): Promise<Snapshot> => {
  const script = Object.entries(sections(world))
    .map(([name, command]) => `echo '${mark}${name}'; { ${command}; } 2>/dev/null | sort`)
    .join('\n');
  const snapshot = new Map<string, string[]>();
  let section = '';
  for (const line of (await world.sh(script)).split('\n')) {
    if (line.startsWith(mark)) section = line.slice(mark.length);
    else if (line !== '') listIn(snapshot, section).push(line);
  }
  return snapshot;
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
