import { type Encoded, encodeField, joinAll, pagesOf } from '../../api/encoded.ts';
import type {
  ListPodSandboxStatsRequest,
  PodSandboxStatsFilter,
  StreamPodSandboxStatsRequest,
} from '../../api/generated/types.ts';
import { containersOfAll, type Runtime } from '../runtime.ts';
import { matches } from '../sandbox/list.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { inSlices } from './in-slices.ts';
import { networksOf, podStatsOf } from './pod-sandbox-stats.ts';

/** The pods that are ready, as kubelet expects; all parts of the filter must hold, the id may be a prefix. */
export const listPodSandboxStats = (runtime: Runtime, { filter }: ListPodSandboxStatsRequest): Promise<Encoded> =>
  joinAll(items(runtime, filter));

/** The same in pages. */
export const streamPodSandboxStats = (
  runtime: Runtime,
  { filter }: StreamPodSandboxStatsRequest,
): AsyncIterable<Encoded> => pagesOf(items(runtime, filter));

async function* items(runtime: Runtime, filter: PodSandboxStatsFilter | undefined): AsyncGenerator<Uint8Array> {
  const found = readyPods(runtime, filter);
  const networks = await networksOf(runtime, found);
  const containers = containersOfAll(runtime);
  await runtime.containersDisk.settle(found.flatMap(({ id }) => containers(id).map((container) => container.id)));
  yield* inSlices(found, (sandbox) =>
    encodeField(
      'ListPodSandboxStatsResponse',
      'stats',
      podStatsOf(runtime, sandbox, containers(sandbox.id), networks.get(sandbox)),
    ),
  );
}

const readyPods = (runtime: Runtime, filter: PodSandboxStatsFilter | undefined): readonly Sandbox[] =>
  runtime.sandboxes
    .values()
    .filter((sandbox) => sandbox.record.state === 'ready')
    .filter((sandbox) => matches(sandbox, filter && { ...filter, state: undefined }));
