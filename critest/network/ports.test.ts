import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { bridgeConf, fetchText, Inside } from './inside.ts';

test('a port of the host reaches the server in the pod until DEL', async (t) => {
  await using inside = await Inside.open();
  const driver = await inside.driver();
  const portMappings = [{ protocol: 'TCP', containerPort: 8080, hostPort: 18_080, hostIp: '' }];
  const pod = await inside.makeNetns(inside.pod({ portMappings }));
  const other = await inside.makeNetns(inside.pod());
  await driver.setup(pod);
  await driver.setup(other);
  await inside.serve(pod, 8080, 'through the port');
  const conflist = JSON.parse(await readFile(join(inside.root, 'cni/embedded/10-berth.conflist'), 'utf8'));
  const gateway = conflist.plugins[0].ipam.ranges[0][0].subnet.replace(/\.0\/\d+$/, '.1');
  const get = (host: string) => inside.exec(process.execPath, '-e', fetchText(host, 18_080));
  t.is(await get(gateway), 'through the port');
  t.is(await get('127.0.0.1'), 'through the port');
  t.is(await inside.inPod(other, fetchText(gateway, 18_080)), 'through the port');
  t.is(await inside.inPod(pod, fetchText(gateway, 18_080)), 'through the port', 'hairpin');
  await driver.call('teardown', pod);
  await t.throwsAsync(get(gateway));
  t.notRegex(await inside.exec('iptables-save'), /18080/);
});

test('with an IPv4 and an IPv6 subnet set, pods have both addresses and reach each other over IPv6', async (t) => {
  await using inside = await Inside.open();
  inside.embeddedSubnet = '10.199.0.0/20,fd00:199::/64';
  const driver = await inside.driver();
  const [one, two] = [await inside.makeNetns(inside.pod()), await inside.makeNetns(inside.pod())];
  const { podIPs } = await driver.setup(one);
  await driver.setup(two);
  t.regex(podIPs[0] ?? '', /^10\.199\.0\./);
  t.regex(podIPs[1] ?? '', /^fd00:199::/);
  await inside.serve(one, 8080, 'over six');
  t.is(await inside.inPod(two, fetchText(podIPs[1] ?? '', 8080)), 'over six');
  await driver.call('teardown', one);
  await driver.call('teardown', two);
  t.notRegex(await inside.exec('ip6tables-save'), new RegExp(one.id));
});

test('the two bandwidth annotations limit the pod, and no other annotation does', async (t) => {
  await using inside = await Inside.open();
  const bandwidth = { type: 'bandwidth', capabilities: { bandwidth: true } };
  await inside.writeConf('10-net.conflist', bridgeConf(inside, [bandwidth]));
  const driver = await inside.driver();
  const annotations = { 'kubernetes.io/ingress-bandwidth': '8M', 'io.example/egress-bandwidth': '1M' };
  const pod = await inside.makeNetns(inside.pod({ annotations }));
  await driver.setup(pod);
  const queues = (await inside.exec('tc', 'qdisc', 'show')).split('\n').filter((line) => line.includes('tbf'));
  t.is(queues.length, 1);
  t.regex(queues[0] ?? '', /^qdisc tbf .* dev veth.* rate 8Mbit/);
  await driver.call('teardown', pod);
  t.notRegex(await inside.exec('tc', 'qdisc', 'show'), /tbf/);
});
