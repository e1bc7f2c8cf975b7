// The service itself: Version, Status, RuntimeConfig, and the calls that are not served yet. docs/cri.tsv names these tests.
import { readdir, readFile } from 'node:fs/promises';
import test from 'ava';
import type { Client } from '../api/client.ts';
import { defaultOf, enumType, type Field, messageType } from '../api/schema.ts';
import { readRows } from './cri-doc/rows.ts';
import { rpcs } from './cri-doc/wire.ts';
import { TestDaemon } from './harness/daemon.ts';
import { runPod } from './harness/pods.ts';
import { fails, suiteDaemon } from './harness/suite.ts';

// the pod CIDR is kept
const daemon = suiteDaemon({ ignore: /files: . \.\/root\/cni\/pod-cidr\.json/ });
const client = () => daemon().client;

/** Something that is not the default, for every field. */
const filled = (name: string | undefined): object =>
  Object.fromEntries(messageType(name).fields.map((field) => [field.name, someOf(field)]));
const someOf = (field: Field): unknown => {
  if (field.list === 'map') return { key: 'value' };
  return field.list === 'list' ? [oneOf(field)] : oneOf(field);
};
const oneOf = (field: Field): unknown => {
  if (field.kind === 'message') return filled(field.type);
  if (field.kind === 'enum') return [...enumType(field.type).numbers.keys()].at(-1);
  const value = defaultOf({ ...field, list: '' });
  if (typeof value === 'string') return 'a';
  if (typeof value === 'bigint') return 1n;
  return typeof value === 'number' ? 1 : value instanceof Uint8Array ? new Uint8Array([1]) : true;
};

/** The answer, or of a stream the first one. */
const call = async (name: string, request: object): Promise<unknown> => {
  const method = client()[name as keyof Client] as (
    request: object,
    settings: object,
  ) => Promise<unknown> | AsyncIterable<unknown>;
  // It has no end.
  const answer = method(request, name === 'GetContainerEvents' ? { timeoutMs: 300 } : {});
  if (!(Symbol.asyncIterator in answer)) return answer;
  for await (const message of answer) return message;
  return undefined;
};

test('each call that is not served answers UNIMPLEMENTED and its name', async (t) => {
  const rows = new Map((await readRows()).map(({ name, text }) => [name, text]));
  for (const { name, request } of rpcs)
    if (rows.get(`RPC ${name}`)?.startsWith('Answers UNIMPLEMENTED'))
      await fails(t, call(name, filled(request)), 'unimplemented', new RegExp(`\\b${name}\\b`));
    else {
      const error = await call(name, {}).catch((reason: { code?: string }) => reason.code);
      t.not(error, 'unimplemented', `${name} has a row that does not say so`);
    }
});

test('Version answers the same whatever version is asked for', async (t) => {
  const answer = await client().Version({ version: 'v1' });
  t.is(answer.version, '0.1.0');
  for (const version of ['', '0.1.0', 'v1alpha2', 'ü']) t.deepEqual(await client().Version({ version }), answer);
});

test('RuntimeConfig tells the cgroup driver', async (t) => {
  t.deepEqual(await client().RuntimeConfig({}), { linux: { cgroup_driver: 'CGROUPFS' } });
});

test('the verbose Status has the configuration and the network as JSON', async (t) => {
  const { info } = await client().Status({ verbose: true });
  const told = Object.fromEntries(Object.entries(info).map(([key, text]) => [key, JSON.parse(text)]));
  const { world } = daemon();
  t.like(told.config, {
    root: world.path('root'),
    state: world.path('state'),
    network: { conf_dir: world.path('cni') },
  });
  t.is(told.lastCNILoadStatus, 'OK');
  t.is(told.cniconfig.PluginConfDir, world.path('cni'));
  t.like(told.cniconfig.Networks[0], { IFName: 'eth0', Config: { Name: 'test', CNIVersion: '1.0.0' } });
  t.is(JSON.parse(told.cniconfig.Networks[0].Config.Source).plugins[0].type, 'bridge');
  t.truthy(told.kernel.features);
  t.deepEqual((await client().Status({})).info, {});
});

test('a node without a network is told as NetworkReady false, with reason and message', async (t) => {
  await using without = await TestDaemon.start({ network: 'none', images: [] });
  const { status, info } = await without.client.Status({ verbose: true });
  const [runtime, network] = ['RuntimeReady', 'NetworkReady'].map((type) =>
    status?.conditions.find((condition) => condition.type === type),
  );
  t.deepEqual(runtime, { type: 'RuntimeReady', status: true, reason: '', message: '' });
  t.like(network, { status: false, reason: 'NetworkPluginNotReady' });
  t.regex(network?.message ?? '', /cni plugin not initialized: .*\/cni/);
  t.is(JSON.parse(info.lastCNILoadStatus ?? ''), network?.message ?? '?');
});

test('Status tells each runtime handler with what it can do, and the features of the runtime', async (t) => {
  const { runtime_handlers, features } = await client().Status({});
  t.deepEqual(
    runtime_handlers.map(({ name }) => name),
    ['', 'berth'],
  );
  const kernel = (await client().Info({})).features;
  const recursive = kernel.find(({ name }) => name === 'recursive-read-only')?.present;
  t.is(recursive, true);
  for (const handler of runtime_handlers) t.is(handler.features?.recursive_read_only_mounts, recursive);
  t.is(features?.supplemental_groups_policy, true);
});

const tellCidr = (pod_cidr: string) =>
  client().UpdateRuntimeConfig({ runtime_config: { network_config: { pod_cidr } } });

test('UpdateRuntimeConfig refuses what names no networks, and takes an empty pod CIDR for none', async (t) => {
  for (const cidr of ['10.244.3.0', '10.244.3.9/24', 'x', '10.1.0.0/24,10.2.0.0/24', ','])
    await fails(t, tellCidr(cidr), 'invalid-argument', /^UpdateRuntimeConfig: pod CIDR /);
  for (const nothing of [{}, { runtime_config: {} }, { runtime_config: { network_config: { pod_cidr: ' ' } } }])
    t.deepEqual(await client().UpdateRuntimeConfig(nothing), {});
});

test('another’s network configuration stays, whatever pod CIDR is told', async (t) => {
  const { world } = daemon();
  const file = world.path('cni', '10-test.conflist');
  const before = await readFile(file);
  t.deepEqual(await tellCidr('10.244.9.0/24'), {});
  t.deepEqual(await readdir(world.path('cni')), ['10-test.conflist']);
  t.deepEqual(await readFile(file), before);
  const pod = await runPod(daemon());
  t.regex((await client().PodSandboxStatus({ pod_sandbox_id: pod.id })).status?.network?.ip ?? '', /^10\.88\./);
  t.regex(await daemon().log(), /pod CIDR 10\.244\.9\.0\/24: the network is .*10-test\.conflist/);
});
