import { encode } from '../../api/codec.ts';
import { Encoded, encodeField } from '../../api/encoded.ts';
import type { PodSandboxStatsRequest } from '../../api/generated/types.ts';
import { BerthError } from '../../base/errors.ts';
import { podInterface } from '../network/types.ts';
import { containersOf, now, type Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { statsOf } from './container-stats.ts';
import { type NetDevice, parseNetDevices } from './net-devices.ts';
import { podProcesses, readContainer, readPod } from './reading.ts';
import { wireCpu, wireIo, wireMemory, wireNetwork, wireProcesses } from './wire.ts';

/** Errors: failed-precondition for a pod that was stopped. */
export const podSandboxStats = async (runtime: Runtime, request: PodSandboxStatsRequest): Promise<Encoded> => {
  const sandbox = runtime.sandboxes.get(request.pod_sandbox_id);
  if (sandbox.record.state !== 'ready')
    throw new BerthError('failed-precondition', `stats of pod sandbox ${sandbox.id}: it is not ready`);
  const networks = await networksOf(runtime, [sandbox]);
  const containers = containersOf(runtime, sandbox.id);
  await runtime.containersDisk.settle(containers.map(({ id }) => id));
  const stats = podStatsOf(runtime, sandbox, containers, networks.get(sandbox));
  return new Encoded(encodeField('PodSandboxStatsResponse', 'stats', stats));
};

export type Networks = ReadonlyMap<Sandbox, readonly NetDevice[]>;

/** What the interfaces of each pod have carried; those on the host's network are left out. No process is started. */
export const networksOf = async (runtime: Runtime, sandboxes: readonly Sandbox[]): Promise<Networks> => {
  const own = sandboxes.filter(({ record }) => record.netns !== '');
  const texts = own.length === 0 ? [] : await runtime.agent.netDevices(own.map(({ record }) => record.netns));
  return new Map(own.map((sandbox, i) => [sandbox, parseNetDevices(texts[i] ?? '')]));
};

/** The bytes of a PodSandboxStats, in parts. */
export const podStatsOf = (
  runtime: Runtime,
  sandbox: Sandbox,
  containers: readonly Container[],
  network: readonly NetDevice[] | undefined,
): readonly Uint8Array[] => {
  const readings = containers.map((container) => readContainer(runtime, container));
  const pod = readPod(runtime, sandbox, readings);
  const linux = encode('LinuxPodSandboxStats', {
    ...(pod && {
      cpu: wireCpu(pod),
      memory: wireMemory(pod.figures),
      process: wireProcesses(pod.figures.at, podProcesses(runtime, sandbox, containers)),
      io: wireIo(pod.figures),
    }),
    network: network && wireNetwork(network, podInterface, now()),
  });
  const inside = containers.map((container, i) =>
    encodeField('LinuxPodSandboxStats', 'containers', statsOf(runtime, container, readings[i])),
  );
  return [attributesOf(sandbox), encodeField('PodSandboxStats', 'linux', [linux, ...inside])];
};

const known = new WeakMap<Sandbox, Uint8Array>();

/** Kept with the pod, whose configuration does not change. */
const attributesOf = (sandbox: Sandbox): Uint8Array => {
  const { id, config } = sandbox;
  const { metadata, labels, annotations } = config;
  const bytes = known.get(sandbox) ?? encode('PodSandboxStats', { attributes: { id, metadata, labels, annotations } });
  known.set(sandbox, bytes);
  return bytes;
};
