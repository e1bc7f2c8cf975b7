import { encodeMessage } from '../../api/encoded.ts';
import { Feed, Frame } from '../../api/feed.ts';
import type { ContainerEventType, GetEventsRequest } from '../../api/generated/types.ts';
import type { Call } from '../../api/handlers.ts';
import { statusesOf } from '../container/status.ts';
import { now, type Runtime } from '../runtime.ts';
import { sandboxStatusOf } from '../sandbox/status.ts';
import type { Container } from '../state/container.ts';
import type { Sandbox } from '../state/sandbox.ts';

/** What happens to pods and containers from now on. A pod’s own events have its id as the container’s, as kubelet expects. */
export const getContainerEvents = (runtime: Runtime, _request: GetEventsRequest, { signal }: Call): Feed =>
  new Feed((sink) => runtime.events.listen(sink, signal));

type Kind = 'created' | 'started' | 'stopped' | 'deleted';

const types: Readonly<Record<Kind, ContainerEventType>> = {
  created: 'CONTAINER_CREATED_EVENT',
  started: 'CONTAINER_STARTED_EVENT',
  stopped: 'CONTAINER_STOPPED_EVENT',
  deleted: 'CONTAINER_DELETED_EVENT',
};

type Part = Pick<Runtime, 'events' | 'containers' | 'sandboxes'>;

/** To be called when memory has it already: the event tells the pod and all its containers as they are then. */
export const tellSandbox = (runtime: Part, sandbox: Sandbox, kind: Kind): void =>
  tell(runtime, sandbox, sandbox.id, kind);

export const tellContainer = (runtime: Part, container: Container, kind: Kind): void => {
  const sandbox = runtime.sandboxes.find(container.record.sandboxId);
  if (sandbox !== undefined) tell(runtime, sandbox, container.id, kind);
};

const tell = (runtime: Part, sandbox: Sandbox, id: string, kind: Kind): void =>
  runtime.events.publish(() => {
    const event = encodeMessage('ContainerEventResponse', {
      container_id: id,
      container_event_type: types[kind],
      created_at: now(),
      pod_sandbox_status: sandboxStatusOf(sandbox),
      containers_statuses: statusesOf(runtime, sandbox.id),
    });
    return new Frame(event);
  });
