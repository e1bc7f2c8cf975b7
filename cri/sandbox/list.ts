import { type Encoded, encodeItem, joinItems, pagesOf } from '../../api/encoded.ts';
import type {
  ListPodSandboxRequest,
  PodSandbox,
  PodSandboxFilter,
  PodSandboxState,
  StreamPodSandboxesRequest,
} from '../../api/generated/types.ts';
import type { Runtime } from '../runtime.ts';
import { hasLabels } from '../service/filters.ts';
import type { Sandbox, SandboxRecord } from '../state/sandbox.ts';

export const wireState = (sandbox: Sandbox): PodSandboxState =>
  sandbox.record.state === 'ready' ? 'SANDBOX_READY' : 'SANDBOX_NOTREADY';

/** From memory alone. All parts of the filter must hold; the id may be a prefix. */
export const listPodSandbox = (runtime: Runtime, request: ListPodSandboxRequest): Encoded =>
  joinItems(found(runtime, request.filter).map(encoded));

/** The same in pages: those that there are at the time of the call. */
export const streamPodSandboxes = (runtime: Runtime, request: StreamPodSandboxesRequest): AsyncIterable<Encoded> =>
  pagesOf(found(runtime, request.filter).map(encoded));

const found = (runtime: Runtime, filter: PodSandboxFilter | undefined): readonly Sandbox[] =>
  runtime.sandboxes.values().filter((sandbox) => matches(sandbox, filter));

const known = new WeakMap<SandboxRecord, Uint8Array>();

/** Kept with the record, which is another one when something has changed. */
const encoded = (sandbox: Sandbox): Uint8Array => {
  const bytes = known.get(sandbox.record) ?? encodeItem('ListPodSandboxResponse', 'items', toWire(sandbox));
  known.set(sandbox.record, bytes);
  return bytes;
};

export const matches = (sandbox: Sandbox, filter: PodSandboxFilter | undefined): boolean => {
  if (filter === undefined) return true;
  if (filter.id !== '' && !sandbox.id.startsWith(filter.id)) return false;
  if (filter.state !== undefined && filter.state.state !== wireState(sandbox)) return false;
  return hasLabels(sandbox.config.labels, filter.label_selector);
};

const toWire = (sandbox: Sandbox): PodSandbox => ({
  id: sandbox.id,
  metadata: sandbox.config.metadata,
  state: wireState(sandbox),
  created_at: BigInt(sandbox.record.createdAt),
  labels: sandbox.config.labels,
  annotations: sandbox.config.annotations,
  runtime_handler: sandbox.record.runtimeHandler,
});
