import { type Encoded, encodeItem, joinItems, pagesOf } from '../../api/encoded.ts';
import type {
  ContainerFilter,
  ListContainersRequest,
  StreamContainersRequest,
  Container as WireContainer,
  ContainerState as WireState,
} from '../../api/generated/types.ts';
import type { Runtime } from '../runtime.ts';
import { hasLabels } from '../service/filters.ts';
import type { Container, ContainerRecord } from '../state/container.ts';

const states = { created: 'CONTAINER_CREATED', running: 'CONTAINER_RUNNING', exited: 'CONTAINER_EXITED' } as const;

export const wireState = (container: Container): WireState => states[container.record.state.kind];

/** From memory alone. All parts of the filter must hold; the id may be a prefix. */
export const listContainers = (runtime: Runtime, request: ListContainersRequest): Encoded =>
  joinItems(found(runtime, request.filter).map(encoded));

/** The same in pages: those that there are at the time of the call. */
export const streamContainers = (runtime: Runtime, request: StreamContainersRequest): AsyncIterable<Encoded> =>
  pagesOf(found(runtime, request.filter).map(encoded));

const found = (runtime: Runtime, filter: ContainerFilter | undefined): readonly Container[] =>
  runtime.containers.values().filter((container) => matches(container, filter));

const known = new WeakMap<ContainerRecord, Uint8Array>();

/** Kept with the record, which is another one when something has changed. */
const encoded = (container: Container): Uint8Array => {
  const bytes = known.get(container.record) ?? encodeItem('ListContainersResponse', 'containers', toWire(container));
  known.set(container.record, bytes);
  return bytes;
};

export const matches = (container: Container, filter: ContainerFilter | undefined): boolean => {
  if (filter === undefined) return true;
  if (filter.id !== '' && !container.id.startsWith(filter.id)) return false;
  if (filter.pod_sandbox_id !== '' && !container.record.sandboxId.startsWith(filter.pod_sandbox_id)) return false;
  if (filter.state !== undefined && filter.state.state !== wireState(container)) return false;
  return hasLabels(container.config.labels, filter.label_selector);
};

const toWire = (container: Container): WireContainer => ({
  id: container.id,
  pod_sandbox_id: container.record.sandboxId,
  metadata: container.config.metadata,
  image: container.config.image,
  image_ref: container.record.imageRef,
  state: wireState(container),
  created_at: BigInt(container.record.createdAt),
  labels: container.config.labels,
  annotations: container.config.annotations,
  image_id: container.record.imageId,
});
