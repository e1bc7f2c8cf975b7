import { type Encoded, encodeItem, joinItems } from '../../api/encoded.ts';
import type { ContainerStatsFilter, ListContainerStatsRequest } from '../../api/generated/types.ts';
import { matches } from '../container/list.ts';
import type { Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import { statsOf } from './container-stats.ts';
import { inSlices } from './in-slices.ts';
import { readContainer } from './reading.ts';

/** All parts of the filter must hold; the ids may be prefixes. */
export const listContainerStats = async (runtime: Runtime, request: ListContainerStatsRequest): Promise<Encoded> => {
  const found = containersFor(runtime, request.filter);
  return joinItems(
    await inSlices(found, (container) =>
      encodeItem('ListContainerStatsResponse', 'stats', statsOf(runtime, container, readContainer(runtime, container))),
    ),
  );
};

export const containersFor = (runtime: Runtime, filter: ContainerStatsFilter | undefined): readonly Container[] =>
  runtime.containers.values().filter((container) => matches(container, filter && { ...filter, state: undefined }));
