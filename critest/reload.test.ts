import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import test from 'ava';
import type { ConfigChange } from '../api/generated/types.ts';
import type { TomlDocument } from './harness/config.ts';
import type { TestDaemon } from './harness/daemon.ts';
import { page } from './harness/exposition.ts';
import { names, registryHost } from './harness/images.ts';
import { idle, podConfig, runPod, TestPod } from './harness/pods.ts';
import { startRegistry } from './harness/registry.ts';
import { fails, suiteDaemon, warmUp } from './harness/suite.ts';
import { sourceTree } from './harness/tree.ts';
import { until } from './harness/until.ts';

const standard = { limits: { nofile_soft: 1024 } };

const daemon = suiteDaemon({
  setUp: async (one) => {
    await warmUp(one);
    await startRegistry(one.world);
  },
  tidy: async (one) => {
    await one.configure(standard);
    await one.client.Reload({});
  },
});

/** What holds, as `crictl info` tells it. */
const held = async (one: TestDaemon): Promise<TomlDocument> =>
  JSON.parse((await one.client.Status({ verbose: true })).info.config ?? '') as TomlDocument;

const reload = async (one: TestDaemon, config: TomlDocument): Promise<readonly ConfigChange[]> => {
  await one.configure(config);
  return (await one.client.Reload({})).changes;
};

const words = ({ key, old_value, new_value, needs_restart }: ConfigChange): string =>
  `${key}: ${old_value} → ${new_value}${needs_restart ? ' restart' : ''}`;

/** The messages of the daemon's log from here on. */
const messages = async (one: TestDaemon, from: number): Promise<readonly string[]> =>
  (await readFile(one.world.path('log.txt'), 'utf8'))
    .slice(from)
    .split('\n')
    .slice(0, -1) // of a line that is being written there may be a part
    .map((line) => (JSON.parse(line) as { readonly msg: string }).msg);

const logSize = async (one: TestDaemon): Promise<number> => (await readFile(one.world.path('log.txt'), 'utf8')).length;

test('SIGHUP changes limits for new containers alone, and the log has each key with its old and new value', async (t) => {
  const pod = await runPod(daemon());
  const old = await pod.run(idle);
  const from = await logSize(daemon());
  await daemon().configure({ limits: { nofile_soft: 2000, nofile_hard: 4000, pids: 77 } });
  await daemon().signal('HUP');
  await until('the limits hold', async () => JSON.stringify((await held(daemon())).limits).includes('2000'));
  const { stdout } = await pod.output('ulimit -Sn; ulimit -Hn; cat /proc/self/cgroup >/dev/null');
  t.is(stdout, '2000\n4000\n');
  t.is((await old.exec('ulimit -Sn')).stdout, '1024\n');
  const said = await messages(daemon(), from);
  t.deepEqual(
    said.filter((line) => line.startsWith('configuration')),
    [
      'configuration: limits.nofile_soft: 1024 → 2000',
      'configuration: limits.nofile_hard: 524288 → 4000',
      'configuration: limits.pids: 0 → 77',
      'configuration reloaded, 3 changes',
    ],
  );
});

test('a handler that is named after a reload is told and taken for pods and images, and refused when it is named no more', async (t) => {
  const { client } = daemon();
  const handlers = async () => (await client.Status({})).runtime_handlers.map(({ name }) => name);
  t.deepEqual(await handlers(), ['', 'berth']);
  await reload(daemon(), { ...standard, runtime_handlers: ['runc', 'berth'] });
  t.deepEqual(await handlers(), ['', 'berth', 'runc']);
  const config = podConfig(daemon());
  const { pod_sandbox_id } = await client.RunPodSandbox({ config, runtime_handler: 'runc' });
  const pod = new TestPod(daemon(), pod_sandbox_id, config);
  const { status, info } = await client.PodSandboxStatus({ pod_sandbox_id: pod.id, verbose: true });
  t.is(status?.runtime_handler, 'runc');
  t.is((JSON.parse(info.info ?? '') as { readonly runtimeType: string }).runtimeType, 'berth');
  const image = { image: names.busybox, runtime_handler: 'runc' };
  t.truthy((await client.ImageStatus({ image })).image);
  await pod.create('true', { image });
  await reload(daemon(), standard);
  t.is((await client.PodSandboxStatus({ pod_sandbox_id: pod.id })).status?.runtime_handler, 'runc');
  await fails(t, client.ImageStatus({ image }), 'invalid-argument', /runtime_handler "runc" is not known/);
});

test('a new log level holds at once, in both directions', async (t) => {
  const loud = async (): Promise<boolean> => {
    const from = await logSize(daemon());
    await daemon().client.Version({});
    return (await messages(daemon(), from)).includes('Version');
  };
  t.true(await loud());
  t.deepEqual((await reload(daemon(), { log_level: 'warn' })).map(words), ['log_level: "debug" → "warn"']);
  t.false(await loud());
  const from = await logSize(daemon());
  await reload(daemon(), {});
  t.true((await messages(daemon(), from)).includes('configuration: log_level: "warn" → "debug"'));
  t.true(await loud());
});

test('a wrong file changes nothing: the error has its name, line and key, and the daemon goes on', async (t) => {
  const before = await held(daemon());
  const file = daemon().world.path('config.toml');
  await writeFile(
    file,
    `${await readFile(file, 'utf8')}\n[limits]\npid = 5\n`.replace('\n[limits]\nnofile_soft = 1024\n', '\n'),
  );
  const from = await logSize(daemon());
  const line = (await readFile(file, 'utf8')).split('\n').indexOf('pid = 5') + 1;
  const fault = new RegExp(`config\\.toml:${line}: limits\\.pid: unknown key; did you mean pids\\?`);
  await fails(t, daemon().client.Reload({}), 'invalid-argument', fault);
  await daemon().signal('HUP');
  const refused = async (): Promise<boolean> =>
    (await messages(daemon(), from)).filter((text) => /^configuration not reloaded/.test(text)).length === 2;
  await until('both reloads are refused', refused);
  t.true((await messages(daemon(), from)).some((text) => fault.test(text)));
  t.regex((await page(daemon(), '/metrics')).body, /^berth_config_reloads_total\{result="error"\} 2$/m);
  t.deepEqual(await held(daemon()), before);
  const { stdout, status } = await daemon().world.run(join(sourceTree, 'bin/berth'), [
    '--address',
    daemon().address,
    'reload',
  ]);
  t.deepEqual([stdout, status], ['', 1]);
});

test('keys that need a restart are named, and keep their value until then', async (t) => {
  const { root } = await held(daemon());
  const from = await logSize(daemon());
  await daemon().configure({ root: '/elsewhere', exec: { output_limit: 65_536 } });
  const other = daemon().world.path('config.d/10-limits.conf');
  await mkdir(dirname(other), { recursive: true });
  await writeFile(other, 'limits.pids = 5\n');
  const { stdout } = await daemon().world.run(join(sourceTree, 'bin/berth'), ['--address', daemon().address, 'reload']);
  t.is(stdout, `root: "${root}" → "/elsewhere" (needs a restart of berthd)\nexec.output_limit: 16777216 → 65536\n`);
  t.like(await held(daemon()), { root, exec: { output_limit: 65_536 } });
  const wish = `configuration: root: "${root}" → "/elsewhere" needs a restart of berthd; until then "${root}" holds`;
  t.true((await messages(daemon(), from)).includes(wish));
  const passedOver = `configuration: ${other}: not read: only files whose names end in .toml are drop-ins`;
  t.true((await messages(daemon(), from)).includes(passedOver));
  await rm(dirname(other), { recursive: true });
  const pod = await runPod(daemon());
  const { id } = await pod.run(idle);
  const answer = await daemon().client.ExecSync({
    container_id: id,
    cmd: ['head', '-c', '70000', '/dev/zero'],
    timeout: 9n,
  });
  t.is(answer.stdout.length, 65_536);
});

test('pods that come after a reload are connected by the new directory’s network', async (t) => {
  const { world } = daemon();
  const directory = world.path('cni-other');
  await mkdir(directory);
  const conflist = await readFile(world.path('cni', '10-test.conflist'), 'utf8');
  await writeFile(
    join(directory, '10-test.conflist'),
    conflist.replace('"subnet"', '"rangeStart":"10.88.99.1","subnet"'),
  );
  const addressOf = async (): Promise<string> => {
    const { id } = await runPod(daemon(), { linux: {} });
    return (await daemon().client.PodSandboxStatus({ pod_sandbox_id: id })).status?.network?.ip ?? '';
  };
  t.regex(await addressOf(), /^10\.88\.0\./);
  await reload(daemon(), { network: { conf_dir: directory } });
  t.regex(await addressOf(), /^10\.88\.99\./);
  await reload(daemon(), {});
  t.is((await daemon().client.Info({})).network, world.path('cni', '10-test.conflist'));
  await rm(directory, { recursive: true });
});

test('a registry’s hosts, pinned images and a policy hold for the pulls after a reload', async (t) => {
  const { world, client } = daemon();
  const certs = world.path('certs.d');
  await mkdir(join(certs, 'registry.example'), { recursive: true });
  await writeFile(join(certs, 'registry.example/hosts.toml'), `[host."http://${registryHost}"]\n`);
  const image = names.busybox.replace(registryHost, 'registry.example');
  const pull = () => client.PullImage({ image: { image } });
  await reload(daemon(), { registry: { config_path: [certs] }, images: { pinned: ['registry.example/*'] } });
  await pull();
  const pinned = async (): Promise<boolean | undefined> =>
    (await client.ImageStatus({ image: { image } })).image?.pinned;
  t.true(await pinned());
  const policy = world.path('policy.json');
  await writeFile(policy, '{"default": [{"type": "reject"}]}');
  await reload(daemon(), { registry: { config_path: [certs] }, images: { policy } });
  t.false(await pinned());
  await fails(t, pull(), 'unknown', /SignatureValidationFailed/);
  await writeFile(policy, '{"default": [{"type": "insecureAcceptAnything"}]}');
  await client.Reload({});
  await pull();
  await client.Untag({ image });
  await rm(certs, { recursive: true });
  await rm(policy);
});
