import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { bridgeConf, eventually, Inside } from './inside.ts';

test('A7: a configuration directory deleted and made again is seen, and so is one that appears later', async (t) => {
  await using inside = await Inside.open();
  inside.embeddedSubnet = 'none';
  await rm(join(inside.base, 'etc'), { recursive: true });
  const driver = await inside.driver();
  t.deepEqual(await driver.status(), {
    ready: false,
    reason: 'NetworkPluginNotReady',
    message: `Network plugin returns error: cni plugin not initialized: no network configuration in ${inside.confDir}`,
    source: 'none',
  });
  for (const round of [1, 2]) {
    await mkdir(inside.confDir, { recursive: true });
    await inside.writeConf('10-net.conflist', bridgeConf(inside));
    await eventually(`ready in round ${round}`, async () => (await driver.status()).ready);
    t.is((await driver.status()).source, join(inside.confDir, '10-net.conflist'));
    await rm(inside.confDir, { recursive: true });
    await eventually(`not ready in round ${round}`, async () => !(await driver.status()).ready);
  }
});

test('a plugin that is not installed is named with the directories that were searched, and seen when it comes', async (t) => {
  await using inside = await Inside.open();
  inside.binDirs = [join(inside.base, 'bin'), '/usr/lib/cni'];
  await inside.writeConf('10-net.conflist', bridgeConf(inside, [{ type: 'late' }]));
  const driver = await inside.driver();
  const { ready, message } = await driver.status();
  t.false(ready);
  t.true(message.endsWith(`plugin late not found in ${inside.binDirs.join(', ')}`), message);
  await inside.exec('cp', '/usr/lib/cni/tuning', join(inside.base, 'bin/late'));
  await eventually('ready', async () => (await driver.status()).ready);
});

test('a broken configuration is not ready, says file and cause, and does not fall back to the default network', async (t) => {
  await using inside = await Inside.open();
  await writeFile(join(inside.confDir, '10-net.conflist'), '{"name": "x",');
  const driver = await inside.driver();
  const { ready, message, source } = await driver.status();
  t.false(ready);
  t.is(source, join(inside.confDir, '10-net.conflist'));
  t.regex(message, /10-net\.conflist: not JSON: /);
  await t.throwsAsync(driver.setup(inside.pod()), { message: /set up network of sandbox .*not JSON/ });
});

test('a configuration for a version that a plugin does not know is not ready and says what each knows', async (t) => {
  await using inside = await Inside.open();
  await inside.writeConf('10-net.conflist', { ...bridgeConf(inside), cniVersion: '1.1.0' });
  const driver = await inside.driver();
  t.regex(
    (await driver.status()).message,
    /no plugin chain for CNI 1\.1\.0: bridge knows 0\.1\.0 .*1\.0\.0; host-local knows/,
  );
});

test('of several versions the highest that all plugins know is used', async (t) => {
  await using inside = await Inside.open();
  await inside.writeConf('10-net.conflist', { ...bridgeConf(inside), cniVersions: ['0.4.0', '1.0.0', '1.1.0'] });
  const driver = await inside.driver();
  t.true((await driver.status()).ready);
  const pod = await inside.makeNetns(inside.pod());
  t.regex((await driver.setup(pod)).podIPs[0] ?? '', /^10\.77\./);
  await driver.call('teardown', pod);
});

test('a plugin that hangs does not hold up the start, and the network is not ready meanwhile', async (t) => {
  await using inside = await Inside.open();
  await inside.addPlugin('hanging');
  await inside.writeConf('10-net.conflist', bridgeConf(inside, [{ type: 'hanging' }]));
  const started = performance.now();
  const driver = await inside.driver();
  t.true(performance.now() - started < 9_000, 'its VERSION has ten seconds');
  t.like(await driver.status(), { ready: false, reason: 'NetworkPluginNotReady' });
});
