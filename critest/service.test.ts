import test from 'ava';
import { fails, suiteDaemon } from './harness/suite.ts';

const daemon = suiteDaemon();

test('Version names the runtime and CRI v1', async (t) => {
  const answer = await daemon().client.Version({ version: 'v1' });
  t.is(answer.runtime_name, 'berth');
  t.is(answer.runtime_api_version, 'v1');
  t.regex(answer.runtime_version, /^\d+\.\d+\.\d+/);
});

test('Status says that runtime and network are ready', async (t) => {
  const { status, info } = await daemon().client.Status({});
  const ready = Object.fromEntries((status?.conditions ?? []).map((one) => [one.type, one.status]));
  t.deepEqual(ready, { RuntimeReady: true, NetworkReady: true });
  t.deepEqual(info, {});
});

test('Status has info only when it is verbose', async (t) => {
  const { info } = await daemon().client.Status({ verbose: true });
  t.truthy(info.config);
  t.notThrows(() => JSON.parse(info.config ?? ''));
});

test('an RPC that is not there yet answers UNIMPLEMENTED and names itself', async (t) => {
  const { client } = daemon();
  await fails(t, client.CheckpointContainer({ container_id: 'a' }), 'unimplemented', /CheckpointContainer/);
});

test('Info of the admin service counts pods, containers and images', async (t) => {
  const info = await daemon().client.Info({});
  t.is(info.api_version, 'berth.v1');
  t.is(info.pods, 0);
  t.is(info.containers, 0);
  t.true(info.images > 0);
  t.is(info.root, daemon().world.path('root'));
  t.true(info.features.length > 0);
});
