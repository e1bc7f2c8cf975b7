import { encode } from '../../api/codec.ts';
import { Encoded, encodeField } from '../../api/encoded.ts';
import type { ContainerStatsRequest } from '../../api/generated/types.ts';
import type { Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import { type Reading, readContainer } from './reading.ts';
import { wireCpu, wireDisk, wireIo, wireMemory, wireSwap } from './wire.ts';

/** What the kernel counts now. One that does not run has only what it takes on disk. */
export const containerStats = async (runtime: Runtime, request: ContainerStatsRequest): Promise<Encoded> => {
  const container = runtime.containers.get(request.container_id);
  await runtime.containersDisk.settle([container.id]);
  return new Encoded(
    encodeField('ContainerStatsResponse', 'stats', statsOf(runtime, container, readContainer(runtime, container))),
  );
};

/** The bytes of a ContainerStats, in parts. */
export const statsOf = (
  runtime: Runtime,
  container: Container,
  reading: Reading | undefined,
): readonly Uint8Array[] => [
  attributesOf(container),
  encode('ContainerStats', {
    ...(reading && {
      cpu: wireCpu(reading),
      memory: wireMemory(reading.figures),
      swap: wireSwap(reading.figures),
      io: wireIo(reading.figures),
    }),
    writable_layer: wireDisk(runtime.containersDisk.of(container.id), runtime.containersDisk.mountpoint),
  }),
];

const known = new WeakMap<Container, Uint8Array>();

/** Kept with the container, whose configuration does not change. */
const attributesOf = (container: Container): Uint8Array => {
  const { id, config } = container;
  const { metadata, labels, annotations } = config;
  const bytes = known.get(container) ?? encode('ContainerStats', { attributes: { id, metadata, labels, annotations } });
  known.set(container, bytes);
  return bytes;
};
