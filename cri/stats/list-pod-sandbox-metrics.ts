import { statfs } from 'node:fs/promises';
import { type Encoded, encodeItem, joinAll, pagesOf } from '../../api/encoded.ts';
import type { ContainerMetrics, Input, Metric, PodSandboxMetrics } from '../../api/generated/types.ts';
import { readMachine } from '../cgroup/machine.ts';
import { resourcesOf } from '../container/status.ts';
import { containersOf, now, type Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { containerCgroup, podCgroup } from './cpu-sampler.ts';
import { type Pause, pauses } from './in-slices.ts';
import { families } from './metrics/families.ts';
import { readMore } from './metrics/more-figures.ts';
import { openFilesLimit, readProcesses } from './metrics/processes.ts';
import {
  blockSamples,
  cpuSamples,
  diskSamples,
  type FileSystem,
  memorySamples,
  networkSamples,
  pressureSamples,
  processSamples,
  type Sample,
  specSamples,
} from './metrics/samples.ts';
import type { NetDevice } from './net-devices.ts';
import { networksOf } from './pod-sandbox-stats.ts';
import { readContainer } from './reading.ts';

/** The metrics of all ready pods: the network's are the pod's, the others its running containers'. */
export const listPodSandboxMetrics = (runtime: Runtime): Promise<Encoded> => joinAll(items(runtime));

/** The same in pages. */
export const streamPodSandboxMetrics = (runtime: Runtime): AsyncIterable<Encoded> => pagesOf(items(runtime));

async function* items(runtime: Runtime): AsyncGenerator<Uint8Array> {
  const pods = runtime.sandboxes.values().filter(({ record }) => record.state === 'ready');
  const networks = await networksOf(runtime, pods);
  await runtime.containersDisk.settle(runtime.containers.values().map(({ id }) => id));
  const machine = { disk: await fileSystemOf(runtime), pageSizes: readMachine().pageSizes, pause: pauses() };
  for (const sandbox of pods)
    yield encodeItem(
      'ListPodSandboxMetricsResponse',
      'pod_metrics',
      await metricsOf(runtime, sandbox, networks.get(sandbox) ?? [], machine),
    );
}

interface Machine {
  readonly disk: FileSystem;
  readonly pageSizes: readonly string[];
  readonly pause: Pause;
}

const fileSystemOf = async ({ containersDisk }: Runtime): Promise<FileSystem> => {
  const { bsize, blocks, files, ffree } = await statfs(containersDisk.directory, { bigint: true });
  return { bytes: bsize * blocks, inodes: files, freeInodes: ffree };
};

const metricsOf = async (
  runtime: Runtime,
  sandbox: Sandbox,
  network: readonly NetDevice[],
  machine: Machine,
): Promise<Input<PodSandboxMetrics>> => {
  const containers: Input<ContainerMetrics>[] = [];
  for (const container of containersOf(runtime, sandbox.id)) {
    await machine.pause();
    const samples = await samplesOf(runtime, container, machine);
    const labels = labelsOf(sandbox, containerCgroup(runtime.cgroups, container) ?? '', container);
    containers.push({ container_id: container.id, metrics: wireMetrics(samples, labels) });
  }
  return {
    pod_sandbox_id: sandbox.id,
    metrics: wireMetrics(networkSamples(network), labelsOf(sandbox, podCgroup(sandbox) ?? '')),
    container_metrics: containers,
  };
};

/** Empty for one that does not run. */
const samplesOf = async (
  runtime: Runtime,
  container: Container,
  { disk, pageSizes, pause }: Machine,
): Promise<readonly Sample[]> => {
  const { state } = container.record;
  const path = containerCgroup(runtime.cgroups, container);
  const reading = readContainer(runtime, container);
  if (reading === undefined || path === undefined || state.kind !== 'running') return [];
  const { figures } = reading;
  const more = readMore(runtime.cgroups, path, pageSizes);
  const processes = await readProcesses(runtime.cgroups, path, pause);
  return [
    ['container_last_seen', figures.at / 1_000_000_000n],
    ...cpuSamples(figures, more),
    ...memorySamples(figures, more),
    ...blockSamples(more.blockIo),
    ...diskSamples(runtime.containersDisk.of(container.id), disk),
    ...processSamples(runtime.cgroupReader.processes(path), more, processes, openFilesLimit(state.pid)),
    ...specSamples(resourcesOf(container), BigInt(state.startedAt)),
    ...pressureSamples(figures),
  ];
};

/** In the order of `commonLabels`. */
const labelsOf = (sandbox: Sandbox, cgroup: string, container?: Container): readonly string[] => {
  const { namespace = '', name: pod = '' } = sandbox.config.metadata ?? {};
  const image = container?.record.imageName ?? '';
  return [cgroup, (container ?? sandbox).id, image, namespace, pod, container?.config.metadata?.name ?? ''];
};

const types = new Map(families.map(({ name, type }) => [name, type]));

const wireMetrics = (samples: readonly Sample[], labels: readonly string[]): readonly Input<Metric>[] => {
  const timestamp = now();
  return samples.map(([name, value, ...more]) => ({
    name,
    timestamp,
    metric_type: types.get(name),
    label_values: [...labels, ...more],
    value: { value },
  }));
};
