// What a pod asks of its network, and what its status tells of it. docs/cri.tsv names these tests.
import test from 'ava';
import type { Input, PortMapping } from '../api/generated/types.ts';
import { runPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';
import { until } from './harness/until.ts';

const daemon = suiteDaemon({
  network: 'embedded',
  config: { network: { embedded_subnet: '10.199.0.0/20,fd00:199::/64' } },
  ignore: /last_reserved_ip|counter packets/,
  // The first mapping makes the plugins' own chains, which stay.
  setUp: async (started) => {
    const pod = await runPod(started, { port_mappings: [{ container_port: 80, host_port: 18_080 }] });
    await pod.output('true');
    await pod.remove();
  },
});
const networkOf = async (pod_sandbox_id: string) =>
  (await daemon().client.PodSandboxStatus({ pod_sandbox_id })).status?.network;

test('a pod with two addresses has the first as ip and the other in additional_ips, as its interface has them', async (t) => {
  const pod = await runPod(daemon());
  const { stdout } = await pod.output('ip -o addr show eth0 scope global');
  const network = await networkOf(pod.id);
  t.regex(network?.ip ?? '', /^10\.199\.0\.\d+$/);
  t.regex(network?.additional_ips[0]?.ip ?? '', /^fd00:199::/);
  t.is(network?.additional_ips.length, 1);
  for (const ip of [network?.ip, network?.additional_ips[0]?.ip]) t.true(stdout.includes(` ${ip}/`), stdout);
  await pod.stop();
  t.deepEqual(await networkOf(pod.id), { ip: '', additional_ips: [] });
});

test('ports of the host lead into the pod: TCP and UDP, on one address or on all', async (t) => {
  const port_mappings: Input<PortMapping>[] = [
    { protocol: 'TCP', container_port: 8080, host_port: 18_080 },
    { protocol: 'TCP', container_port: 8080, host_port: 18_081, host_ip: '127.0.0.1' },
    { protocol: 'UDP', container_port: 5353, host_port: 18_082 },
    { protocol: 'SCTP', container_port: 7777, host_port: 18_083 },
    { protocol: 'TCP', container_port: 9999, host_port: 0 },
  ];
  const pod = await runPod(daemon(), { port_mappings });
  await pod.run('mkdir /www; echo through >/www/index.html; exec httpd -f -p 8080 -h /www');
  const { world } = daemon();
  const get = async (place: string): Promise<string> =>
    (await world.run('timeout', ['20', 'busybox', 'wget', '-qO-', `http://${place}/`])).stdout.trim();
  const ip = (await networkOf(pod.id))?.ip ?? '';
  const gateway = ip.replace(/\d+$/, '1');
  await until('the server answers', async () => (await get(`${ip}:8080`)) === 'through');
  t.is(await get('127.0.0.1:18080'), 'through');
  t.is(await get(`${gateway}:18080`), 'through');
  t.is(await get('127.0.0.1:18081'), 'through');
  t.is(await get(`${gateway}:18081`), '', 'only the address that host_ip names');
  const rules = await world.sh('iptables-save -t nat');
  t.regex(rules, new RegExp(`-p udp .*--dport 18082 -j DNAT --to-destination ${ip}:5353`));
  t.regex(rules, new RegExp(`-p sctp .*--dport 18083 -j DNAT --to-destination ${ip}:7777`));
  t.notRegex(rules, /9999/, 'no host_port, no rule');
  await pod.remove();
  t.notRegex(await world.sh('iptables-save -t nat'), /1808[0-3]/);
});

test('a port mapping that cannot be is refused and named, and leaves nothing', async (t) => {
  const bad = (mapping: Input<PortMapping>): Promise<unknown> => runPod(daemon(), { port_mappings: [mapping] });
  const good = { container_port: 80, host_port: 18_084 };
  await fails(
    t,
    bad({ ...good, container_port: 0 }),
    'invalid-argument',
    /container port 0 is not between 1 and 65535/,
  );
  await fails(t, bad({ ...good, host_port: 65_536 }), 'invalid-argument', /host port 65536/);
  await fails(t, bad({ ...good, host_port: -1 }), 'invalid-argument', /host port -1/);
  await fails(t, bad({ ...good, host_ip: 'localhost' }), 'invalid-argument', /host IP "localhost"/);
  t.deepEqual((await daemon().client.ListPodSandbox({})).items, []);
});
