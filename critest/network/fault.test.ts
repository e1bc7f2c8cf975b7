import { access, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { bridgeConf, eventually, Inside, leasesOf, type Pod } from './inside.ts';

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

const records = async (inside: Inside): Promise<readonly string[]> =>
  (await readdir(join(inside.root, 'cni'))).filter((name) => name !== 'embedded');

/** Addresses, links, rules and records that the pod still has. */
const leftOf = async (inside: Inside, pod: Pod): Promise<readonly string[]> => [
  ...(await leasesOf(inside)),
  ...(await inside.exec('ip', '-br', 'link')).split('\n').filter((line) => line.includes('veth')),
  ...(await inside.exec('iptables-save')).split('\n').filter((line) => line.includes(pod.id)),
  ...(await records(inside)),
];

test('when the second plugin fails in ADD, the first is undone and the error names plugin, command, sandbox and cause', async (t) => {
  await using inside = await Inside.open();
  await inside.addPlugin('failing');
  await inside.writeConf('10-net.conflist', bridgeConf(inside, [{ type: 'failing', failing: 'ADD' }]));
  const driver = await inside.driver();
  const pod = await inside.makeNetns(inside.pod());
  const error = await t.throwsAsync(driver.setup(pod));
  t.is(
    error?.message,
    `set up network of sandbox ${pod.id}: cni failing ADD of sandbox ${pod.id}: no luck; asked to fail (CNI error 123)`,
  );
  t.deepEqual(await leftOf(inside, pod), []);
});

test('A5: a failing DEL is told five times, then removal goes on, and the background frees what can be freed', async (t) => {
  await using inside = await Inside.open();
  await inside.addPlugin('failing');
  await inside.writeConf('10-net.conflist', bridgeConf(inside, [{ type: 'failing', failing: 'DEL' }]));
  const driver = await inside.driver();
  const pod = await inside.makeNetns(inside.pod());
  await driver.setup(pod);
  for (let tries = 1; tries <= 4; tries += 1)
    await t.throwsAsync(driver.call('teardown', pod), { message: /cni failing DEL of sandbox/ });
  t.is((await leasesOf(inside)).length, 1);
  await driver.call('teardown', pod);
  t.deepEqual(await leasesOf(inside), []);
  t.deepEqual(await records(inside), [`${pod.id}.json`]);
});

test('A5: what the background could not remove goes when the plugin works again, also in a later daemon', async (t) => {
  await using inside = await Inside.open();
  await inside.addPlugin('failing');
  await inside.writeConf('10-net.conflist', bridgeConf(inside, [{ type: 'failing', failing: 'DEL' }]));
  const driver = await inside.driver();
  const pod = await inside.makeNetns(inside.pod());
  await driver.setup(pod);
  await t.throwsAsync(driver.call('teardown', pod));
  await driver.kill();
  const later = await inside.driver({ retryMs: 50 });
  await later.call('collect', []);
  t.deepEqual(await records(inside), [`${pod.id}.json`]);
  await inside.exec('ln', '-sf', '/bin/true', join(inside.base, 'bin/failing'));
  await eventually('the record is gone', async () => (await records(inside)).length === 0);
  t.deepEqual(await leftOf(inside, pod), []);
});

test('C: a CNI plugin outlives the daemon: after recover there is no address, no veth and no record', async (t) => {
  await using inside = await Inside.open();
  await inside.addPlugin('sleep-after');
  await inside.writeConf('10-net.conflist', bridgeConf(inside, [], { type: 'sleep-after' }));
  const driver = await inside.driver();
  const pod = await inside.makeNetns(inside.pod());
  const setup = driver.setup(pod).catch(() => undefined);
  await eventually('the address is made', () => exists(`${pod.netnsPath}.added`));
  await driver.kill();
  await setup;
  t.is((await leasesOf(inside)).length, 1);
  await t.throwsAsync(inside.exec('flock', '-n', pod.lockPath, 'true'), undefined, 'the orphan still holds the lock');
  const later = await inside.driver();
  await later.call('recover');
  t.deepEqual(
    later.logs.filter((line) => line.includes('not removed')),
    [],
  );
  t.deepEqual(await leftOf(inside, pod), []);
});

test('a setup that its caller gives up is undone', async (t) => {
  await using inside = await Inside.open();
  await inside.addPlugin('sleep-after');
  await inside.writeConf('10-net.conflist', bridgeConf(inside, [], { type: 'sleep-after' }));
  const driver = await inside.driver();
  const pod = await inside.makeNetns(inside.pod());
  await t.throwsAsync(driver.setup(pod, 2_000), { message: /cni sleep-after ADD/ });
  t.deepEqual(await leftOf(inside, pod), []);
});

test('A6: after a reboot, with netns and lock gone, recover gives the address back', async (t) => {
  await using inside = await Inside.open();
  await inside.writeConf('10-net.conflist', bridgeConf(inside));
  const driver = await inside.driver();
  const pod = await inside.makeNetns(inside.pod());
  await driver.setup(pod);
  await driver.kill();
  await inside.removeNetns(pod);
  await inside.exec('rm', '-r', pod.netnsPath, join(inside.base, 'state', pod.id));
  const later = await inside.driver();
  t.is((await leasesOf(inside)).length, 1);
  await later.call('recover');
  t.deepEqual(await leasesOf(inside), []);
  t.deepEqual(await records(inside), []);
});

test('A6: collect removes the network of a sandbox that is no more and keeps the live one', async (t) => {
  await using inside = await Inside.open();
  await inside.writeConf('10-net.conflist', bridgeConf(inside));
  const driver = await inside.driver();
  const [lost, live] = [await inside.makeNetns(inside.pod()), await inside.makeNetns(inside.pod())];
  await driver.setup(lost);
  const { podIPs } = await driver.setup(live);
  await driver.kill();
  const later = await inside.driver();
  await later.call('recover');
  await later.call('collect', [live.id]);
  t.deepEqual(await leasesOf(inside), podIPs);
});

test('DEL uses the configuration that ADD used, although the node has another one now', async (t) => {
  await using inside = await Inside.open();
  await inside.writeConf('10-net.conflist', bridgeConf(inside));
  const driver = await inside.driver();
  const pod = await inside.makeNetns(inside.pod());
  await driver.setup(pod);
  await inside.exec('rm', join(inside.confDir, '10-net.conflist'));
  await eventually('the default network', async () => (await driver.status()).source === 'embedded');
  await driver.call('teardown', pod);
  t.deepEqual(await leftOf(inside, pod), []);
});

test('A8: a broken record does not stop the daemon, and StopPodSandbox still gives the address back', async (t) => {
  await using inside = await Inside.open();
  await inside.writeConf('10-net.conflist', bridgeConf(inside));
  const driver = await inside.driver();
  const pod = await inside.makeNetns(inside.pod());
  await driver.setup(pod);
  await driver.kill();
  await writeFile(join(inside.root, 'cni', `${pod.id}.json`), '{"state":');
  const later = await inside.driver();
  await later.call('recover');
  t.true(later.logs.some((line) => line.includes('not JSON')));
  await later.call('teardown', pod);
  t.deepEqual(await leftOf(inside, pod), []);
});
