import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { bridgeConf, Inside } from './inside.ts';

const template = (inside: Inside): string =>
  JSON.stringify(bridgeConf(inside)).replace(
    '[[{"subnet":"10.77.0.0/20"}]]',
    '[{{range $i, $r := .PodCIDRRanges}}{{if $i}},{{end}}[{"subnet":"{{$r}}"}]{{end}}]',
  );

test('with conf_template there is no network until the pod CIDR is told; then the file follows it, but not when a person has changed it', async (t) => {
  await using inside = await Inside.open();
  inside.confTemplate = join(inside.base, 'net.template');
  const file = join(inside.confDir, '10-berth-net.conflist');
  const driver = await inside.driver();
  const tell = (cidr: string) => driver.call('updatePodCidr', cidr);
  const { ready, message } = await driver.status();
  t.false(ready);
  t.regex(message, /net\.template waits for the node's pod CIDR/);
  await t.throwsAsync(tell('10.60.1.0/24'), { code: 'failed-precondition', message: /net\.template: no such file/ });
  await writeFile(inside.confTemplate, '{"name": "{{.PodCIDR}}"}');
  await t.throwsAsync(tell('10.60.1.0/24'), { message: /net\.template with pod CIDR 10\.60\.1\.0\/24: no plugins/ });
  t.deepEqual(await readdir(inside.confDir), []);
  await writeFile(inside.confTemplate, template(inside));
  await tell('10.60.1.0/24');
  t.like(await driver.status(), { ready: true, source: file });
  const pod = await inside.makeNetns(inside.pod());
  t.regex((await driver.setup(pod)).podIPs[0] ?? '', /^10\.60\.1\./);
  await driver.call('teardown', pod);
  await writeFile(`${file}.1.2.tmp`, 'of a daemon that was killed');
  await tell('10.60.2.0/24,fd00:60:2::/64');
  t.deepEqual(await readdir(inside.confDir), ['10-berth-net.conflist']);
  const { ipam } = JSON.parse(await readFile(file, 'utf8')).plugins[0];
  t.deepEqual(ipam.ranges, [[{ subnet: '10.60.2.0/24' }], [{ subnet: 'fd00:60:2::/64' }]]);
  await driver.kill();
  await rm(file);
  const next = await inside.driver();
  t.regex(await readFile(file, 'utf8'), /10\.60\.2\.0/, 'it is made again at a start');
  const changed = (await readFile(file, 'utf8')).replace('testnet', 'mine');
  await writeFile(file, changed);
  await next.call('updatePodCidr', '10.60.3.0/24');
  t.is(await readFile(file, 'utf8'), changed);
});

test('a pod that comes while the pod CIDR changes is in the new one, whose gateway its bridge keeps', async (t) => {
  await using inside = await Inside.open();
  const driver = await inside.driver();
  await driver.call('updatePodCidr', '10.61.1.0/24');
  const pod = await inside.makeNetns(inside.pod());
  const told = driver.call('updatePodCidr', '10.61.2.0/24');
  const { podIPs } = await driver.setup(pod);
  await told;
  t.regex(podIPs[0] ?? '', /^10\.61\.2\./);
});
