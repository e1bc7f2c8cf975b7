import type {
  ContainerStats,
  ContainerStatsRequest,
  ContainerStatsResponse,
  Input,
} from '../../api/generated/types.ts';
import type { Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import { type Reading, readContainer } from './reading.ts';
import { wireCpu, wireDisk, wireIo, wireMemory, wireSwap } from './wire.ts';

/** What the kernel counts now. One that does not run has only what it takes on disk. */
export const containerStats = async (
  runtime: Runtime,
  request: ContainerStatsRequest,
): Promise<Input<ContainerStatsResponse>> => {
  const container = runtime.containers.get(request.container_id);
  await runtime.containersDisk.settle([container.id]);
  return { stats: statsOf(runtime, container, readContainer(runtime, container)) };
};

export const statsOf = (
  runtime: Runtime,
  container: Container,
  reading: Reading | undefined,
): Input<ContainerStats> => {
  const { config, id } = container;
  return {
    attributes: { id, metadata: config.metadata, labels: config.labels, annotations: config.annotations },
    ...(reading && {
      cpu: wireCpu(reading),
      memory: wireMemory(reading.figures),
      swap: wireSwap(reading.figures),
      io: wireIo(reading.figures),
    }),
    writable_layer: wireDisk(runtime.containersDisk.of(id), runtime.containersDisk.mountpoint),
  };
};
