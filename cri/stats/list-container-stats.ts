import { type Encoded, encodeField, joinAll, pagesOf } from '../../api/encoded.ts';
import type {
  ContainerStatsFilter,
  ListContainerStatsRequest,
  StreamContainerStatsRequest,
} from '../../api/generated/types.ts';
import { matches } from '../container/list.ts';
import type { Runtime } from '../runtime.ts';
import { statsOf } from './container-stats.ts';
import { inSlices } from './in-slices.ts';
import { readContainer } from './reading.ts';

/** All parts of the filter must hold; the ids may be prefixes. */
export const listContainerStats = (runtime: Runtime, { filter }: ListContainerStatsRequest): Promise<Encoded> =>
  joinAll(items(runtime, filter));

/** The same in pages. */
export const streamContainerStats = (
  runtime: Runtime,
  { filter }: StreamContainerStatsRequest,
): AsyncIterable<Encoded> => pagesOf(items(runtime, filter));

async function* items(runtime: Runtime, filter: ContainerStatsFilter | undefined): AsyncGenerator<Uint8Array> {
  const found = runtime.containers
    .values()
    .filter((container) => matches(container, filter && { ...filter, state: undefined }));
  await runtime.containersDisk.settle(found.map(({ id }) => id));
  yield* inSlices(found, (container) =>
    encodeField('ListContainerStatsResponse', 'stats', statsOf(runtime, container, readContainer(runtime, container))),
  );
}
