import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { TestDaemon } from './harness/daemon.ts';
import { idle, runPod } from './harness/pods.ts';
import { systemEnvironment } from './harness/world.ts';

// The one test in the machine's own network namespace: a bridge and a subnet of its own, one port.
const bridge = 'berthleft0';
const subnet = '10.213.64.0/20';
const hostPort = 28_999;
const forwarding = '/proc/sys/net/ipv4/ip_forward';

const host = async (script: string): Promise<string[]> => {
  const { stdout } = await promisify(execFile)('sh', ['-c', script], { env: systemEnvironment });
  return stdout.split('\n').filter(Boolean);
};

/** What is on the machine, without what changes by itself. */
const network = async (): Promise<Readonly<Record<string, readonly string[]>>> => ({
  rules: await host("{ iptables-save; ip6tables-save; } 2>/dev/null | grep -v '^#' | sed 's/\\[[0-9:]*\\]//; s/ $//'"),
  tables: await host('nft list tables 2>/dev/null || true'),
  links: await host("ip -o link | cut -d: -f2 | tr -d ' ' | sed 's/@.*//' | grep -E '^(berth|veth)' || true"),
  routes: await host('{ ip route; ip -6 route; } | grep -E "berth|10.213." || true'),
  namespaces: await host('ls /run/netns 2>/dev/null || true'),
});

type Found = Awaited<ReturnType<typeof network>>;
const added = (before: Found, after: Found): string[] =>
  Object.entries(after).flatMap(([kind, lines]) =>
    lines.filter((line) => !before[kind]?.includes(line)).map((line) => `${kind}: ${line}`),
  );

const matching = (lines: readonly string[], pattern: RegExp): string[] =>
  lines.flatMap((line) => pattern.exec(line)?.[1] ?? []);

/** Takes away what the test brought: its own bridge, chains and tables that were not there. */
const restore = async (before: Found, forward: string): Promise<void> => {
  await host(`ip link del ${bridge} 2>/dev/null || true`);
  const now = added(before, await network());
  for (const rule of matching(now, /^rules: -A ((?:PREROUTING|OUTPUT|POSTROUTING) .*-j CNI-HOSTPORT-\S+)$/))
    await host(`iptables -t nat -D ${rule}`);
  const chains = matching(now, /^rules: :(CNI-HOSTPORT-\S+)/);
  for (const chain of chains) await host(`iptables -t nat -F ${chain}`);
  for (const chain of chains) await host(`iptables -t nat -X ${chain}`);
  // iptables shows base chains of its own table; a table that is empty and was not there is a leftover like any other.
  for (const table of matching(now, /^tables: table (ip6? nat)$/))
    if (
      (await host(`nft list table ${table} | grep -E '^\\s+(ip|meta|counter|jump|oif|iif|fib)' || true`)).length === 0
    )
      await host(`nft delete table ${table}`);
  await writeFile(forwarding, forward);
};

/** All that the plugins bridge, host-local and portmap (1.x) leave for the next pod. */
const knownLeftovers: readonly string[] = [
  `links: ${bridge}`,
  'rules: :CNI-HOSTPORT-DNAT -',
  'rules: :CNI-HOSTPORT-MASQ -',
  'rules: :CNI-HOSTPORT-SETMARK -',
  'rules: -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT',
  'rules: -A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT',
  'rules: -A POSTROUTING -m comment --comment "CNI portfwd requiring masquerade" -j CNI-HOSTPORT-MASQ',
  'rules: -A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE',
  'rules: -A CNI-HOSTPORT-SETMARK -m comment --comment "CNI portfwd masquerade mark" -j MARK --set-xmark 0x2000/0x2000',
];
/** What comes with the bridge and with the first use of iptables. */
const follows = /^routes: .* dev berthleft0 |^tables: table ip6? nat$|^rules: (?::[A-Z]+ ACCEPT|\*nat|COMMIT)$/;

const leavesOnly = async (t: ExecutionContext, before: Found): Promise<void> => {
  const left = await (async () => {
    await using daemon = await TestDaemon.start({
      hostNetwork: true,
      network: 'embedded',
      config: { network: { embedded_subnet: subnet, embedded_bridge: bridge } },
    });
    const port_mappings = [
      { protocol: 'TCP', container_port: 8080, host_port: hostPort, host_ip: '127.0.0.1' },
    ] as const;
    const pod = await runPod(daemon, { port_mappings: [...port_mappings] });
    await pod.run(idle);
    t.true(added(before, await network()).some((line) => line.includes(`${hostPort}`)));
    await pod.remove();
    t.is(await daemon.stop(), 0);
    const leases = await daemon.world.sh(`cd ${daemon.world.path('root')}/cni && find . -type f | sort`);
    return { leases: leases.trim().split('\n'), network: added(before, await network()) };
  })();
  const of = 'embedded/leases/berth-default';
  t.deepEqual(left.leases, ['./embedded/10-berth.conflist', `./${of}/last_reserved_ip.0`, `./${of}/lock`]);
  t.true(left.network.includes(`links: ${bridge}`));
  t.deepEqual(
    left.network.filter((line) => !knownLeftovers.includes(line) && !follows.test(line)),
    [],
  );
};

test('of a pod with a port mapping the standard plugins leave the bridge, their own chains and two files of host-local, and no more', async (t) => {
  const before = await network();
  const forward = await readFile(forwarding, 'utf8');
  try {
    await leavesOnly(t, before);
  } finally {
    await restore(before, forward);
  }
  t.deepEqual(await network(), before);
});
