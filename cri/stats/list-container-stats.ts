import { type Encoded, encodeItem, joinItems, pagesOf } from '../../api/encoded.ts';
import type {
  ContainerStatsFilter,
  ListContainerStatsRequest,
  StreamContainerStatsRequest,
} from '../../api/generated/types.ts';
import { matches } from '../container/list.ts';
import type { Runtime } from '../runtime.ts';
import { statsOf } from './container-stats.ts';
import { gathered, inSlices } from './in-slices.ts';
import { readContainer } from './reading.ts';

/** All parts of the filter must hold; the ids may be prefixes. */
export const listContainerStats = async (runtime: Runtime, request: ListContainerStatsRequest): Promise<Encoded> =>
  joinItems(await gathered(itemsFor(runtime, request.filter)));

/** The same in pages. */
export const streamContainerStats = (runtime: Runtime, request: StreamContainerStatsRequest): AsyncIterable<Encoded> =>
  pagesOf(itemsFor(runtime, request.filter));

async function* itemsFor(runtime: Runtime, filter: ContainerStatsFilter | undefined): AsyncGenerator<Uint8Array> {
  const found = runtime.containers
    .values()
    .filter((container) => matches(container, filter && { ...filter, state: undefined }));
  await runtime.containersDisk.settle(found.map(({ id }) => id));
  yield* inSlices(found, (container) =>
    encodeItem('ListContainerStatsResponse', 'stats', statsOf(runtime, container, readContainer(runtime, container))),
  );
}
