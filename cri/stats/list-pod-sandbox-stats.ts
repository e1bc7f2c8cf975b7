import { type Encoded, encodeItem, joinItems } from '../../api/encoded.ts';
import type { ListPodSandboxStatsRequest, PodSandboxStatsFilter } from '../../api/generated/types.ts';
import type { Runtime } from '../runtime.ts';
import { matches } from '../sandbox/list.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { inSlices } from './in-slices.ts';
import { networksOf, podStatsOf } from './pod-sandbox-stats.ts';

/** The pods that are ready, as kubelet expects; all parts of the filter must hold, the id may be a prefix. */
export const listPodSandboxStats = async (runtime: Runtime, request: ListPodSandboxStatsRequest): Promise<Encoded> => {
  const found = podsFor(runtime, request.filter);
  const networks = await networksOf(runtime, found);
  return joinItems(
    await inSlices(found, (sandbox) =>
      encodeItem('ListPodSandboxStatsResponse', 'stats', podStatsOf(runtime, sandbox, networks.get(sandbox))),
    ),
  );
};

export const podsFor = (runtime: Runtime, filter: PodSandboxStatsFilter | undefined): readonly Sandbox[] =>
  runtime.sandboxes
    .values()
    .filter((sandbox) => matches(sandbox, filter && { ...filter, state: { state: 'SANDBOX_READY' } }))
    .filter(({ record }) => record.state === 'ready');
