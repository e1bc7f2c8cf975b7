import { type Encoded, encodeItem, joinItems, pagesOf } from '../../api/encoded.ts';
import type {
  ListPodSandboxStatsRequest,
  PodSandboxStatsFilter,
  StreamPodSandboxStatsRequest,
} from '../../api/generated/types.ts';
import { containersOf, type Runtime } from '../runtime.ts';
import { matches } from '../sandbox/list.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { gathered, inSlices } from './in-slices.ts';
import { networksOf, podStatsOf } from './pod-sandbox-stats.ts';

/** The pods that are ready, as kubelet expects; all parts of the filter must hold, the id may be a prefix. */
export const listPodSandboxStats = async (runtime: Runtime, request: ListPodSandboxStatsRequest): Promise<Encoded> =>
  joinItems(await gathered(itemsFor(runtime, request.filter)));

/** The same in pages. */
export const streamPodSandboxStats = (
  runtime: Runtime,
  request: StreamPodSandboxStatsRequest,
): AsyncIterable<Encoded> => pagesOf(itemsFor(runtime, request.filter));

async function* itemsFor(runtime: Runtime, filter: PodSandboxStatsFilter | undefined): AsyncGenerator<Uint8Array> {
  const found = readyPods(runtime, filter);
  const networks = await networksOf(runtime, found);
  await runtime.containersDisk.settle(found.flatMap(({ id }) => containersOf(runtime, id)).map(({ id }) => id));
  yield* inSlices(found, (sandbox) =>
    encodeItem('ListPodSandboxStatsResponse', 'stats', podStatsOf(runtime, sandbox, networks.get(sandbox))),
  );
}

const readyPods = (runtime: Runtime, filter: PodSandboxStatsFilter | undefined): readonly Sandbox[] =>
  runtime.sandboxes
    .values()
    .filter((sandbox) => sandbox.record.state === 'ready')
    .filter((sandbox) => matches(sandbox, filter && { ...filter, state: undefined }));
