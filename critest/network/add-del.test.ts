import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { fetchText, Inside } from './inside.ts';

const leases = async (inside: Inside): Promise<readonly string[]> => {
  const directory = join(inside.root, 'cni/embedded/leases/berth-default');
  return (await readdir(directory)).filter((name) => name.startsWith('10.'));
};

test('on a machine without a configuration two pods get addresses, reach each other, and leave nothing', async (t) => {
  await using inside = await Inside.open();
  const driver = await inside.driver();
  t.like(await driver.status(), { ready: true, source: 'embedded' });
  const one = await inside.makeNetns(inside.pod());
  const two = await inside.makeNetns(inside.pod());
  const [first, second] = await Promise.all([driver.setup(one), driver.setup(two)]);
  t.regex(first.podIPs[0] ?? '', /^10\.\d+\.0\.\d+$/);
  t.is((await leases(inside)).length, 2);
  await inside.serve(one, 8080, 'hello from one');
  t.is(await inside.inPod(two, fetchText(first.podIPs[0] ?? '', 8080)), 'hello from one');
  t.not(first.podIPs[0], second.podIPs[0]);
  await driver.call('check', { id: one.id });
  await Promise.all([driver.call('teardown', one), driver.call('teardown', two)]);
  t.deepEqual(await leases(inside), []);
  t.notRegex(await inside.exec('ip', '-br', 'link'), /veth/);
  t.notRegex(await inside.exec('iptables-save'), new RegExp(one.id));
  t.deepEqual(await readdir(join(inside.root, 'cni')), ['embedded']);
  await driver.call('teardown', one);
});
