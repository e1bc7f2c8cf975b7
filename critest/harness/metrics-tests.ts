import { readFileSync } from 'node:fs';
import test from 'ava';
import type { Metric, MetricDescriptor, PodSandboxMetrics } from '../../api/generated/types.ts';
import { names } from './images.ts';
import { idle, runPod, type TestContainer, type TestPod } from './pods.ts';
import { suiteDaemon } from './suite.ts';
import { until } from './until.ts';

const MiB = 1 << 20;

/** What a machine may lack: controllers, pressure, a disk that counts. */
const optional = /hugetlb|blkio|container_fs_(?:reads|writes)|pressure|kernel_usage|max_usage|cfs_/;

/** ListMetricDescriptors and ListPodSandboxMetrics; the same claims on cgroup v1 and v2. */
export const metricsTests = (version: 1 | 2): void => {
  const daemon = suiteDaemon();

  const descriptorsOf = async (): Promise<ReadonlyMap<string, MetricDescriptor>> => {
    const { descriptors } = await daemon().client.ListMetricDescriptors({});
    return new Map(descriptors.map((descriptor) => [descriptor.name, descriptor]));
  };
  const metricsOf = async (pod: TestPod): Promise<PodSandboxMetrics> => {
    const { pod_metrics } = await daemon().client.ListPodSandboxMetrics({});
    const found = pod_metrics.find(({ pod_sandbox_id }) => pod_sandbox_id === pod.id);
    if (found === undefined) throw new Error(`no metrics of pod ${pod.id}`);
    return found;
  };
  const containerMetrics = async (pod: TestPod, { id }: TestContainer): Promise<readonly Metric[]> =>
    (await metricsOf(pod)).container_metrics.find(({ container_id }) => container_id === id)?.metrics ?? [];
  const figure = (metrics: readonly Metric[], name: string, ...labels: readonly string[]): number => {
    const found = metrics.filter((metric) => metric.name === `container_${name}`);
    const one = found.find(({ label_values }) => labels.every((label) => label_values.includes(label)));
    return Number(one?.value?.value ?? Number.NaN);
  };
  const file = (container: TestContainer, controller: string, name: string): string => {
    const root = version === 2 ? '/sys/fs/cgroup' : `/sys/fs/cgroup/${controller}`;
    return readFileSync(`${root}/${daemon().world.cgroup}/${container.id}/${name}`, 'utf8').trim();
  };

  /** How often the kernel says that a limit was hit: of memory, and of memory with swap. */
  const hits = (container: TestContainer): number =>
    version === 1
      ? Number(file(container, 'memory', 'memory.failcnt')) + Number(file(container, 'memory', 'memory.memsw.failcnt'))
      : Number(/^max (\d+)$/m.exec(file(container, 'memory', 'memory.events'))?.[1]);

  const resources = {
    cpu_period: 100_000n,
    cpu_quota: 50_000n,
    cpu_shares: 512n,
    memory_limit_in_bytes: BigInt(64 * MiB),
    memory_swap_limit_in_bytes: BigInt(64 * MiB),
  };

  test('every metric of a pod has a descriptor with as many labels, and none that the kernel counts is missing', async (t) => {
    const descriptors = await descriptorsOf();
    const pod = await runPod(daemon());
    const container = await pod.run(idle, { linux: { resources } });
    const isCounted = async (): Promise<boolean> =>
      figure(await containerMetrics(pod, container), 'fs_usage_bytes') >= 0;
    await until('its disk use is counted', isCounted, 90);
    const { metrics, container_metrics } = await metricsOf(pod);
    const all = [...metrics, ...container_metrics.flatMap((each) => each.metrics)];
    for (const { name, label_values, timestamp, metric_type } of all) {
      const { help, label_keys } = descriptors.get(name) ?? { help: '', label_keys: [] };
      t.is(label_values.length, label_keys.length, name);
      t.true(help !== '' && timestamp > 0n, name);
      t.is(
        metric_type,
        (name.endsWith('_total') && !name.endsWith('inodes_total')) || name.endsWith('failcnt') ? 'COUNTER' : 'GAUGE',
        name,
      );
    }
    const told = new Set(all.map(({ name }) => name));
    t.deepEqual(
      [...descriptors.keys()].filter((name) => !told.has(name) && !optional.test(name)),
      [],
    );
  });

  test('the labels say whose a metric is', async (t) => {
    const [descriptor] = (await descriptorsOf()).values();
    t.deepEqual(descriptor?.label_keys.slice(0, 6), ['id', 'name', 'image', 'namespace', 'pod', 'container']);
    const parent = `/${daemon().world.cgroup}/own`;
    const pod = await runPod(daemon(), { linux: { cgroup_parent: parent }, metadata: { namespace: 'space' } });
    const container = await pod.run(idle, { metadata: { name: 'main' } });
    const { metrics, container_metrics } = await metricsOf(pod);
    const name = pod.config.metadata?.name ?? '';
    t.deepEqual(metrics[0]?.label_values, [parent, pod.id, '', 'space', name, '', 'eth0']);
    const [first] = container_metrics[0]?.metrics ?? [];
    t.is(container_metrics[0]?.container_id, container.id);
    t.deepEqual(first?.label_values, [`${parent}/${container.id}`, container.id, names.busybox, 'space', name, 'main']);
  });

  test('the figures are the kernel’s: memory, limits, processes, descriptors, sockets, start', async (t) => {
    const pod = await runPod(daemon());
    const listen = 'nc -l -p 7000 & nc -l -p 7001 & exec 5</dev/null 6</dev/null; echo ready;';
    const container = await pod.run(`${listen} ${idle}`, { linux: { resources } });
    const before = Math.floor(Date.now() / 1000);
    await until('it is ready', async () => (await container.text('stdout')).includes('ready'));
    await until('its sleep runs', async () => (await container.exec(['pidof', 'sleep'])).code === 0);
    const witness = 'for p in 1 2 3 4 5 6 7 8 9; do ls -l /proc/$p/fd 2>/dev/null; done | grep -e "->"';
    const metrics = await until('both listen', async () => {
      const found = await containerMetrics(pod, container);
      return figure(found, 'sockets') === 2 && found;
    });
    const value = (name: string, ...labels: string[]): number => figure(metrics, name, ...labels);
    const links = (await container.exec(`${witness} | grep -v -e "/proc/" -e pipe: | wc -l`)).stdout;
    t.true(value('file_descriptors') > Number(links), `${value('file_descriptors')} and ${links}`);
    // The shell, two listeners, and the sleep.
    t.is(value('processes'), 4);
    t.is(value('threads'), 4);
    const most = file(container, 'pids', 'pids.max');
    t.is(value('threads_max'), most === 'max' ? 0 : Number(most));
    t.is(value('ulimits_soft', 'max_open_files'), Number((await container.exec('ulimit -Sn')).stdout));
    t.is(value('spec_cpu_period'), 100_000);
    t.is(value('spec_cpu_quota'), 50_000);
    t.is(value('spec_cpu_shares'), 512);
    t.is(value('spec_memory_limit_bytes'), 64 * MiB);
    t.is(value('spec_memory_swap_limit_bytes'), 64 * MiB);
    t.is(value('spec_memory_reservation_limit_bytes'), 0);
    t.true(Math.abs(value('start_time_seconds') - before) < 20);
    t.true(Math.abs(value('last_seen') - before) < 60);
    const usage = Number(file(container, 'memory', version === 1 ? 'memory.usage_in_bytes' : 'memory.current'));
    t.true(Math.abs(value('memory_usage_bytes') - usage) < 2 * MiB);
    t.true(value('memory_working_set_bytes') <= value('memory_usage_bytes'));
    t.true(value('memory_failures_total', 'pgfault', 'container') > 0);
    t.is(value('oom_events_total'), 0);
    t.is(value('memory_failcnt'), 0);
  });

  test('what was killed for memory, and CPU time that a quota held up, is counted', async (t) => {
    const pod = await runPod(daemon());
    const eat = 'trap "exit 0" TERM; (x=x; while :; do x=$x$x; done); echo killed; while :; do :; done';
    const limits = {
      ...resources,
      cpu_quota: 10_000n,
      memory_limit_in_bytes: BigInt(8 * MiB),
      memory_swap_limit_in_bytes: BigInt(8 * MiB),
    };
    const container = await pod.run(eat, { linux: { resources: limits } });
    await until('it is killed', async () => (await container.text('stdout')).includes('killed'), 60);
    const { found: metrics, before } = await until('it is held up', async () => {
      // A limit may be hit between the two looks.
      const before = hits(container);
      const found = await containerMetrics(pod, container);
      const isHeldUp = figure(found, 'cpu_cfs_throttled_periods_total') >= 1;
      return isHeldUp && hits(container) === before && { found, before };
    });
    t.true(figure(metrics, 'oom_events_total') >= 1);
    t.is(figure(metrics, 'memory_failcnt'), before);
    t.true(figure(metrics, 'cpu_cfs_periods_total') >= figure(metrics, 'cpu_cfs_throttled_periods_total'));
    await container.stop(0);
    t.deepEqual(await containerMetrics(pod, container), [], 'it has ended');
  });

  test('the pods that are not ready have none, and the streamed list says the same', async (t) => {
    const pods = [await runPod(daemon()), await runPod(daemon())];
    const [ready, stopped] = pods;
    await stopped?.stop();
    const { pod_metrics } = await daemon().client.ListPodSandboxMetrics({});
    t.deepEqual(
      pod_metrics.map(({ pod_sandbox_id }) => pod_sandbox_id),
      [ready?.id],
    );
    const streamed: PodSandboxMetrics[] = [];
    for await (const { pod_sandbox_metrics } of daemon().client.StreamPodSandboxMetrics({}))
      streamed.push(...pod_sandbox_metrics);
    const shape = (all: readonly PodSandboxMetrics[]) =>
      all.map((one) => [one.pod_sandbox_id, one.metrics.map(({ name }) => name)]);
    t.deepEqual(shape(streamed), shape(pod_metrics));
    t.is(streamed[0]?.metrics.length, 8);
  });
};
