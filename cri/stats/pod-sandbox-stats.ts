import type {
  Input,
  PodSandboxStats,
  PodSandboxStatsRequest,
  PodSandboxStatsResponse,
} from '../../api/generated/types.ts';
import { BerthError } from '../../base/errors.ts';
import { podInterface } from '../network/types.ts';
import { containersOf, now, type Runtime } from '../runtime.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { statsOf } from './container-stats.ts';
import { type NetDevice, parseNetDevices } from './net-devices.ts';
import { readContainer, readPod } from './reading.ts';
import { wireCpu, wireIo, wireMemory, wireNetwork, wireProcesses } from './wire.ts';

/** Errors: failed-precondition for a pod that was stopped. */
export const podSandboxStats = async (
  runtime: Runtime,
  request: PodSandboxStatsRequest,
): Promise<Input<PodSandboxStatsResponse>> => {
  const sandbox = runtime.sandboxes.get(request.pod_sandbox_id);
  if (sandbox.record.state !== 'ready')
    throw new BerthError('failed-precondition', `stats of pod sandbox ${sandbox.id}: it is not ready`);
  const networks = await networksOf(runtime, [sandbox]);
  await runtime.containersDisk.settle(containersOf(runtime, sandbox.id).map(({ id }) => id));
  return { stats: podStatsOf(runtime, sandbox, networks.get(sandbox)) };
};

export type Networks = ReadonlyMap<Sandbox, readonly NetDevice[]>;

/** What the interfaces of each pod have carried; those on the host's network are left out. No process is started. */
export const networksOf = async (runtime: Runtime, sandboxes: readonly Sandbox[]): Promise<Networks> => {
  const own = sandboxes.filter(({ record }) => record.netns !== '');
  const texts = own.length === 0 ? [] : await runtime.agent.netDevices(own.map(({ record }) => record.netns));
  return new Map(own.map((sandbox, i) => [sandbox, parseNetDevices(texts[i] ?? '')]));
};

export const podStatsOf = (
  runtime: Runtime,
  sandbox: Sandbox,
  network: readonly NetDevice[] | undefined,
): Input<PodSandboxStats> => {
  const { id, config } = sandbox;
  const containers = containersOf(runtime, id);
  const readings = containers.map((container) => readContainer(runtime, container));
  const pod = readPod(runtime, sandbox, readings);
  return {
    attributes: { id, metadata: config.metadata, labels: config.labels, annotations: config.annotations },
    linux: {
      ...(pod && {
        cpu: wireCpu(pod),
        memory: wireMemory(pod.figures),
        process: wireProcesses(pod.figures),
        io: wireIo(pod.figures),
      }),
      network: network && wireNetwork(network, podInterface, now()),
      containers: containers.map((container, i) => statsOf(runtime, container, readings[i])),
    },
  };
};
