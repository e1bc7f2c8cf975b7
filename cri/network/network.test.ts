import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { withDir } from 'tmp-promise';
import { Network } from './network.ts';
import type { NetworkSandbox, PluginOutput, PluginRunner } from './types.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {} };
const versions = Buffer.from('{"cniVersion":"1.0.0","supportedVersions":["1.0.0"]}');
const output = (stdout: Uint8Array): PluginOutput => ({ code: 0, signal: 0, stdout, stderr: Buffer.alloc(0) });

const sandbox = (id: string, path: string): NetworkSandbox => ({
  id,
  name: id,
  namespace: 'default',
  uid: id,
  netnsPath: '/proc/self/ns/net',
  portMappings: [],
  annotations: {},
  dns: { servers: [], searches: [], options: [] },
  cgroupParent: '',
  lockPath: join(path, id),
});

const soon = async (holds: () => boolean): Promise<boolean> => {
  for (let turn = 0; turn < 1000 && !holds(); turn += 1) await sleep(5);
  return holds();
};

test('a pod CIDR of a caller that has gone is not taken, and holds up no pod that is being connected', (t) =>
  withDir(
    async ({ path }) => {
      const [confDir, bin] = [join(path, 'conf'), join(path, 'bin')];
      for (const directory of [confDir, bin]) await mkdir(directory);
      await writeFile(join(bin, 'x'), '');
      await chmod(join(bin, 'x'), 0o755);
      await writeFile(join(confDir, 'n.conflist'), '{"cniVersion":"1.0.0","name":"n","plugins":[{"type":"x"}]}');
      const adds: PromiseWithResolvers<PluginOutput>[] = [];
      const agent: PluginRunner = {
        run: async ({ env }) => {
          if (env.CNI_COMMAND !== 'ADD') return output(env.CNI_COMMAND === 'VERSION' ? versions : Buffer.alloc(0));
          const add = Promise.withResolvers<PluginOutput>();
          adds.push(add);
          return add.promise;
        },
        endHolder: async () => undefined,
      };
      const config = { confDir, binDirs: [bin], embeddedSubnet: '', embeddedBridge: 'b0', confTemplate: '' };
      await using network = await Network.open({ agent, config, root: path, log: quiet });
      const gone = new AbortController();
      const never = new AbortController().signal;
      const first = network.setup(sandbox('a'.repeat(64), path), never);
      t.true(await soon(() => adds.length === 1));
      const told = network.updatePodCidr('10.1.0.0/24', gone.signal);
      const behind = network.updatePodCidr('10.2.0.0/24', gone.signal);
      const second = network.setup(sandbox('b'.repeat(64), path), never);
      await sleep(20);
      t.is(adds.length, 1, 'it waits behind');
      gone.abort(new Error('the caller has gone'));
      for (const one of [told, behind]) await t.throwsAsync(one, { message: 'the caller has gone' });
      t.true(await soon(() => adds.length === 2));
      for (const { resolve } of adds) resolve(output(Buffer.from('{"cniVersion":"1.0.0","ips":[]}')));
      await Promise.allSettled([first, second]);
      t.false((await readdir(join(path, 'cni'))).includes('pod-cidr.json'));
      await network.updatePodCidr('10.3.0.0/24', never);
      t.true((await readdir(join(path, 'cni'))).includes('pod-cidr.json'));
    },
    { unsafeCleanup: true },
  ));
