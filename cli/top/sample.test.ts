import test from 'ava';
import { dir } from 'tmp-promise';
import { type CallSettings, connect } from '../../api/client.ts';
import type { ContainerStats, Input, PodSandboxStats } from '../../api/generated/types.ts';
import type { Handlers } from '../../api/handlers.ts';
import { serve } from '../../api/server.ts';
import { type Sample, takeSample } from './sample.ts';

const quiet = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const value = (count: number) => ({ value: BigInt(count) });

const container = (id: string, available?: number): Input<ContainerStats> => ({
  attributes: { id, metadata: { name: id } },
  cpu: { timestamp: 5n, usage_core_nano_seconds: value(7), usage_nano_cores: value(3) },
  memory: { working_set_bytes: value(100), ...(available === undefined ? {} : { available_bytes: value(available) }) },
});

const pod = (id: string, ...containers: Input<ContainerStats>[]): Input<PodSandboxStats> => ({
  attributes: { id, metadata: { name: id, namespace: 'default' } },
  linux: {
    cpu: { timestamp: 5n, usage_core_nano_seconds: value(70) },
    memory: { working_set_bytes: value(200) },
    network: {
      default_interface: { name: 'eth0', rx_bytes: value(10), tx_bytes: value(1) },
      interfaces: [
        { name: 'eth0', rx_bytes: value(10), tx_bytes: value(1) },
        { name: 'eth1', rx_bytes: value(5) },
      ],
    },
    containers,
  },
});

const taken = async (handlers: Handlers, settings: CallSettings = {}): Promise<Sample> => {
  const { path, cleanup } = await dir({ prefix: 'berth-sample-', unsafeCleanup: true });
  const address = `unix://${path}/b.sock`;
  const server = await serve(handlers, { address, log: quiet, ready: () => true });
  using client = connect(address);
  try {
    return await takeSample(client, settings);
  } finally {
    await server.close(50);
    await cleanup();
  }
};

const StreamPodSandboxStats: Handlers['StreamPodSandboxStats'] = async function* () {
  yield { pod_sandbox_stats: [pod('one', container('a', 50), container('b', 20))] };
  yield { pod_sandbox_stats: [pod('two', container('c', 50), container('d'), { attributes: { id: 'ended' } })] };
};

test('a look joins the pages of the pods with the activity of their containers; sums and limits are the pod’s', async (t) => {
  const Activity: Handlers['Activity'] = async () => ({
    containers: ['a', 'b', 'c'].map((id) => ({
      container_id: id,
      read_bytes: 11n,
      written_bytes: 2n,
      threads: 4n,
      cpu_limit_nano_cores: id === 'c' ? 0n : 1_000_000_000n,
    })),
  });
  const { pods } = await taken({ StreamPodSandboxStats, Activity });
  const [one, two] = pods;
  t.like(one?.counters, { received: 15, sent: 1, read: 22, written: 4, pids: 8, cpuLimit: 2e9, memoryLimit: 270 });
  t.like(one?.containers[0]?.counters, {
    at: 5n,
    cpu: 7n,
    nanoCores: 3,
    memory: 100,
    memoryLimit: 150,
    read: 11,
    pids: 4,
  });
  t.deepEqual(
    two?.containers.map(({ id }) => id),
    ['c', 'd'],
    'one that has ended uses nothing',
  );
  t.like(two?.counters, { cpuLimit: undefined, memoryLimit: undefined, pids: 4 });
  t.is(two?.containers[1]?.counters.read, undefined, 'it was started after the other call');
});

test('a default interface that is not among the others, as the release before sent it, counts once as well', async (t) => {
  const before = pod('one');
  const interfaces = before.linux?.network?.interfaces?.slice(1) ?? [];
  const linux = { ...before.linux, network: { ...before.linux?.network, interfaces } };
  const { pods } = await taken({
    StreamPodSandboxStats: async function* () {
      yield { pod_sandbox_stats: [{ ...before, linux }] };
    },
  });
  t.is(interfaces.length, 1);
  t.like(pods[0]?.counters, { received: 15, sent: 1 });
});

test('a look has the time of a clock that nobody sets', async (t) => {
  const before = performance.now();
  const { at } = await taken({ StreamPodSandboxStats });
  t.true(before <= at && at <= performance.now(), `${at}`);
});

test('a daemon that knows no activity has no figures of disk, threads and CPU limits, and all others', async (t) => {
  const { pods } = await taken({ StreamPodSandboxStats });
  t.like(pods[0]?.counters, { received: 15, read: undefined, pids: undefined, cpuLimit: undefined, memoryLimit: 270 });
});

test('any other failure of either call is one of the look', async (t) => {
  const Activity = (): never => {
    throw new Error('broken');
  };
  await t.throwsAsync(taken({ StreamPodSandboxStats, Activity }), { message: /broken/ });
  await t.throwsAsync(taken({ Activity: async () => ({}) }), { code: 'unimplemented' });
});

test('a daemon that hangs is given up, and not waited for without end', async (t) => {
  const Activity: Handlers['Activity'] = (_request, { signal }) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  await t.throwsAsync(taken({ StreamPodSandboxStats, Activity }, { timeoutMs: 100 }), { code: 'deadline-exceeded' });
});
