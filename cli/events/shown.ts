import type {
  ContainerEventResponse,
  ContainerEventType,
  ContainerStatus,
  PodSandboxStatus,
} from '../../api/generated/types.ts';
import { plain, shortId } from '../format.ts';

/** `state`: not an event, but what was there when the command began to listen. */
export const shownTypes = ['created', 'started', 'stopped', 'deleted', 'state'] as const;

/** An event as people and scripts read it: `--json` prints just this. */
export interface ShownEvent {
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly type: (typeof shownTypes)[number];
  readonly kind: 'pod' | 'container';
  readonly id: string;
  readonly pod: { readonly id: string; readonly name: string; readonly namespace: string; readonly uid: string };
  /** Missing for a pod's own event. As it was told of last for one that is no more; missing if it never was. */
  readonly container?: ShownContainer;
  /** `ready`, `not ready`: of a pod. */
  readonly podState: string;
}

export interface ShownContainer {
  readonly name: string;
  readonly image: string;
  readonly state: string;
  /** Only when it has ended. */
  readonly exitCode?: number;
  readonly reason?: string;
}

const types: Readonly<Record<ContainerEventType, ShownEvent['type']>> = {
  CONTAINER_CREATED_EVENT: 'created',
  CONTAINER_STARTED_EVENT: 'started',
  CONTAINER_STOPPED_EVENT: 'stopped',
  CONTAINER_DELETED_EVENT: 'deleted',
};

export const timeOf = (nanoseconds: bigint): string => new Date(Number(nanoseconds / 1_000_000n)).toISOString();

const containerOf = (status: ContainerStatus): ShownContainer => {
  const state = status.state.replace('CONTAINER_', '').toLowerCase();
  const ended = status.state === 'CONTAINER_EXITED' ? { exitCode: status.exit_code, reason: status.reason } : {};
  const image = status.image?.user_specified_image || status.image?.image || status.image_ref;
  return { name: status.metadata?.name ?? '', image, state, ...ended };
};

/** `id` is the object's: the pod's own, or that of one of its containers. */
export const shownEvent = (
  type: ShownEvent['type'],
  time: string,
  id: string,
  pod: PodSandboxStatus | undefined,
  container: ContainerStatus | undefined,
): ShownEvent => ({
  time,
  type,
  kind: id === pod?.id ? 'pod' : 'container',
  id,
  pod: {
    id: pod?.id ?? '',
    name: pod?.metadata?.name ?? '',
    namespace: pod?.metadata?.namespace ?? '',
    uid: pod?.metadata?.uid ?? '',
  },
  ...(container === undefined ? {} : { container: containerOf(container) }),
  podState: pod?.state === 'SANDBOX_READY' ? 'ready' : 'not ready',
});

export const fromWire = (event: ContainerEventResponse): ShownEvent => {
  const { container_id: id, pod_sandbox_status: pod, containers_statuses: all } = event;
  const container = all.find((status) => status.id === id);
  return shownEvent(types[event.container_event_type], timeOf(event.created_at), id, pod, container);
};

/** Tells the deleted by what was told of them before; what has gone is forgotten. */
export const remembering = (): ((event: ShownEvent) => ShownEvent) => {
  const known = new Map<string, ShownContainer>();
  return (event) => {
    const { id, container = known.get(id), type } = event;
    if (container === undefined) return event;
    if (type === 'deleted') known.delete(id);
    else known.set(id, container);
    return { ...event, container };
  };
};

const details = ({ type, kind, podState, container }: ShownEvent): string => {
  if (kind === 'pod') return type === 'state' ? podState : '';
  if (container?.exitCode !== undefined && type !== 'deleted')
    return `exit code ${container.exitCode}${container.reason === '' ? '' : `, ${container.reason}`}`;
  if (type === 'state') return `${container?.state}, ${container?.image}`;
  return type === 'created' ? (container?.image ?? '') : '';
};

/** Columns of a width of their own, so that lines that come hours apart stand below each other. */
export const eventLine = (event: ShownEvent): string => {
  const { time, type, kind, id, pod, container } = event;
  const name = [pod.namespace, pod.name, ...(container === undefined ? [] : [container.name])].join('/');
  const cells = [time, type.padEnd(7), kind.padEnd(9), shortId(id).padEnd(12), plain(name), plain(details(event))];
  return `${cells.join('  ').trimEnd()}\n`;
};
