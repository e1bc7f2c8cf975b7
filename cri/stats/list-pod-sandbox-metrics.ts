import { stat, statfs } from 'node:fs/promises';
import { encode } from '../../api/codec.ts';
import { type Encoded, encodeField, fieldParts, joinAll, ListEncoder, pagesOf } from '../../api/encoded.ts';
import { readMachine } from '../cgroup/machine.ts';
import { resourcesOf } from '../container/status.ts';
import { containersOfAll, now, type Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { containerCgroup, podCgroup } from './cpu-sampler.ts';
import { type Pause, pauses } from './in-slices.ts';
import { type DeviceNames, deviceNames, numbersOf } from './metrics/device-names.ts';
import { families } from './metrics/families.ts';
import { type MoreFigures, moreReader } from './metrics/more-figures.ts';
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
  const names = deviceNames();
  const machine = {
    names,
    disk: await fileSystemOf(runtime, names),
    more: moreReader(runtime.cgroups, readMachine().pageSizes),
    pause: pauses(),
  };
  const containers = containersOfAll(runtime);
  for (const sandbox of pods) {
    await machine.pause();
    const metrics = [
      encode('PodSandboxMetrics', { pod_sandbox_id: sandbox.id }),
      podMetrics(sandbox, networks.get(sandbox)),
    ];
    for (const container of containers(sandbox.id)) {
      await machine.pause();
      metrics.push(...(await containerMetrics(runtime, sandbox, container, machine)));
    }
    yield encodeField('ListPodSandboxMetricsResponse', 'pod_metrics', metrics);
  }
}

interface Machine {
  readonly names: DeviceNames;
  readonly disk: FileSystem;
  more(path: string): MoreFigures;
  readonly pause: Pause;
}

const fileSystemOf = async ({ containersDisk: { directory } }: Runtime, names: DeviceNames): Promise<FileSystem> => {
  const [{ dev }, { bsize, blocks, files, ffree }] = await Promise.all([
    stat(directory, { bigint: true }),
    statfs(directory, { bigint: true }),
  ]);
  return { device: names(numbersOf(dev)), bytes: bsize * blocks, inodes: files, freeInodes: ffree };
};

const podMetrics = (sandbox: Sandbox, network: readonly NetDevice[] = []): Uint8Array =>
  encodeMetrics('PodSandboxMetrics', networkSamples(network), labelsOf(sandbox, podCgroup(sandbox) ?? ''));

const containerMetrics = async (
  runtime: Runtime,
  sandbox: Sandbox,
  container: Container,
  machine: Machine,
): Promise<readonly Uint8Array[]> => {
  const samples = await samplesOf(runtime, container, machine);
  const labels = labelsOf(sandbox, containerCgroup(runtime.cgroups, container) ?? '', container);
  return fieldParts('PodSandboxMetrics', 'container_metrics', [
    encode('ContainerMetrics', { container_id: container.id }),
    encodeMetrics('ContainerMetrics', samples, labels),
  ]);
};

/** Empty for one that does not run. */
const samplesOf = async (
  runtime: Runtime,
  container: Container,
  { names, disk, more: readMore, pause }: Machine,
): Promise<readonly Sample[]> => {
  const { state } = container.record;
  const path = containerCgroup(runtime.cgroups, container);
  const reading = readContainer(runtime, container);
  if (reading === undefined || path === undefined || state.kind !== 'running') return [];
  const { figures } = reading;
  const more = readMore(path);
  const processes = await readProcesses(runtime.cgroups, path, pause);
  return [
    ['container_last_seen', figures.at / 1_000_000_000n],
    ...cpuSamples(figures, more),
    ...memorySamples(figures, more),
    ...blockSamples(more.blockIo, names),
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

const heads = new Map(families.map(({ name, type }) => [name, encode('Metric', { name, metric_type: type })]));

/** A metric has some two hundred bytes, most of them labels. */
const expectedBytes = 256;

const encodeMetrics = (
  message: 'PodSandboxMetrics' | 'ContainerMetrics',
  samples: readonly Sample[],
  labels: readonly string[],
): Uint8Array => {
  const metrics = new ListEncoder(message, 'metrics', samples.length * expectedBytes);
  const common = encode('Metric', { timestamp: now(), label_values: labels });
  for (const [name, value, ...more] of samples)
    metrics.add([heads.get(name) ?? encode('Metric', { name }), common], { label_values: more, value: { value } });
  return metrics.finish();
};
