import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { sha256 } from '../../base/digest.ts';
import type { Conflist } from './conflist.ts';
import { parseConflist } from './conflist.ts';
import { embeddedConflist } from './embedded.ts';
import { chooseBridge } from './kept-cidr.ts';
import { NodeCidr } from './node-cidr.ts';
import { parsePodCidr } from './pod-cidr.ts';
import type { NetworkConfig } from './types.ts';

test('a pod CIDR is one network, or one of each family in any order', (t) => {
  t.deepEqual(parsePodCidr('10.244.1.0/24'), {
    texts: ['10.244.1.0/24'],
    v4: { base: 0x0af4_0100, bits: 24 },
    v6: undefined,
  });
  t.like(parsePodCidr('fd00:10:244:1::/64'), { v4: undefined, v6: 'fd00:10:244:1::/64' });
  t.like(parsePodCidr(' fd00::/64 , 10.0.0.0/30'), { texts: ['fd00::/64', '10.0.0.0/30'], v6: 'fd00::/64' });
  t.is(parsePodCidr('1:2:3:4:5:6:7:8000/113').v6, '1:2:3:4:5:6:7:8000/113');
});

for (const text of [
  '',
  ',',
  '10.244.1.0',
  '10.244.1.5/24',
  '10.244.1.0/31',
  '0.0.0.0/0',
  '10.244.1.0/024',
  '10.1.0.0/24,10.2.0.0/24',
  'fd00::/64,fd01::/64',
  '10.1.0.0/24,fd00::/64,10.2.0.0/24',
  'fd00::1/64',
  'fd00::/127',
  'fd00::%eth0/64',
  '::ffff:10.0.0.0/112',
  'fd00::/64/64',
  'x'.repeat(1000),
])
  test(`refused as a pod CIDR: ${JSON.stringify(text.slice(0, 40))}`, (t) => {
    const error = t.throws(() => parsePodCidr(text), { code: 'invalid-argument', message: /^pod CIDR / });
    t.true((error?.message.length ?? 0) < 500);
  });

const attached = (bridge: string, cidr: string): Conflist =>
  parseConflist(JSON.stringify(embeddedConflist({ bridge }, parsePodCidr(cidr), '/leases')), 'x');

test('a bridge that pods with other addresses are on is left to them, and one with these addresses is found again', (t) => {
  const choose = (...inUse: readonly Conflist[]) => chooseBridge('berth0', parsePodCidr('10.1.0.0/24'), inUse);
  t.is(choose(), 'berth0');
  t.is(choose(attached('berth0', '10.210.0.0/16')), 'berth0-1');
  t.is(choose(attached('berth0', '10.210.0.0/16'), attached('berth0-1', '10.2.0.0/24')), 'berth0-2');
  t.is(choose(attached('berth0', '10.210.0.0/16'), attached('berth0-4', '10.1.0.0/24')), 'berth0-4');
  t.is(choose(attached('cni0', '10.1.0.0/24')), 'berth0');
  t.is(
    chooseBridge('a-long-bridge-0', parsePodCidr('10.1.0.0/24'), [attached('a-long-bridge-0', '10.2.0.0/24')]).length,
    14,
  );
});

const quiet = { debug: () => {}, info: () => {}, warn: () => {} };
const config = (directory: string, embeddedBridge: string): NetworkConfig => ({
  confDir: join(directory, 'conf'),
  binDirs: [],
  embeddedSubnet: '',
  embeddedBridge,
  confTemplate: '',
});

test('a pod CIDR is known after a restart, with a bridge of the name that is configured then', (t) =>
  withDir(
    async ({ path }) => {
      const open = (bridge: string, inUse: readonly Conflist[] = []) =>
        NodeCidr.open(path, config(path, bridge), quiet, async () => inUse);
      const first = await open('berth0');
      t.is(first.kept, undefined);
      const cidr = parsePodCidr('10.1.0.0/24,fd00::/64');
      await first.keep(cidr, [attached('berth0', '10.210.0.0/16')]);
      const again = await open('berth0');
      t.deepEqual(again.kept, { cidr, bridge: 'berth0-1' });
      t.true(again.isKept(parsePodCidr('10.1.0.0/24, fd00::/64')));
      t.false(again.isKept(parsePodCidr('10.1.0.0/24')));
      t.is((await open('pods0', [attached('pods0', '10.2.0.0/24')])).kept?.bridge, 'pods0-1');
      t.is((await open('pods0')).kept?.bridge, 'pods0-1', 'it stays');
      await writeFile(join(path, 'pod-cidr.json'), '{"cidrs": ["10.1.0.0/24"');
      t.is((await open('pods0')).kept, undefined, 'a broken file is as none');
    },
    { unsafeCleanup: true },
  ));

test('a conf_dir that a reload has changed gets the rendered template, at once and for later CIDRs', (t) =>
  withDir(
    async ({ path }) => {
      const confTemplate = join(path, 'template');
      await writeFile(
        confTemplate,
        '{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"x","range":"{{.PodCIDR}}"}]}',
      );
      const [old, next] = ['old', 'new'].map((name) => ({
        ...config(path, 'berth0'),
        confDir: join(path, name),
        confTemplate,
      }));
      if (old === undefined || next === undefined) return t.fail();
      const rendered = (name: string) => readFile(join(path, name, '10-berth-net.conflist'), 'utf8');
      const node = await NodeCidr.open(path, old, quiet, async () => []);
      const first = parsePodCidr('10.1.0.0/24');
      await node.keep(first, []);
      await node.render(first);
      await node.reconfigure(next, async () => []);
      t.regex(await rendered('new'), /10\.1\.0\.0/);
      await node.render(parsePodCidr('10.2.0.0/24'));
      t.regex(await rendered('new'), /10\.2\.0\.0/);
      t.regex(await rendered('old'), /10\.1\.0\.0/);
      for (const text of ['10.3.0.0/24', '10.4.0.0/24']) await node.render(parsePodCidr(text));
      await node.reconfigure(old, async () => []);
      await node.render(parsePodCidr('10.5.0.0/24'));
      t.regex(await rendered('old'), /10\.5\.0\.0/, 'what was written there long ago is still known as its own');
      const file = join(path, 'old', '10-berth-net.conflist');
      await writeFile(file, (await rendered('new')).replace('10.4.0.0', '10.3.0.0'));
      await node.render(parsePodCidr('10.6.0.0/24'));
      t.regex(await rendered('old'), /10\.3\.0\.0/, 'what was written elsewhere is not');
    },
    { unsafeCleanup: true },
  ));

test('what the release before has rendered is known as its own', (t) =>
  withDir(
    async ({ path }) => {
      const confTemplate = join(path, 'template');
      const template = '{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"x","range":"{{.PodCIDR}}"}]}';
      await writeFile(confTemplate, template);
      const file = join(path, 'conf', '10-berth-net.conflist');
      await mkdir(join(path, 'conf'));
      await writeFile(file, template.replace('{{.PodCIDR}}', '10.1.0.0/24'));
      const node = await NodeCidr.open(path, { ...config(path, 'berth0'), confTemplate }, quiet, async () => []);
      await node.render(parsePodCidr('10.2.0.0/24'));
      t.regex(await readFile(file, 'utf8'), /10\.1\.0\.0/, 'nobody has told that it is');
      await writeFile(join(path, 'rendered'), sha256(await readFile(file)));
      await node.render(parsePodCidr('10.2.0.0/24'));
      t.regex(await readFile(file, 'utf8'), /10\.2\.0\.0/);
    },
    { unsafeCleanup: true },
  ));
