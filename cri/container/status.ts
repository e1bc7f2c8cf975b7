import type {
  ContainerStatus,
  ContainerStatusRequest,
  ContainerStatusResponse,
  LinuxContainerResources,
} from '../../api/generated/types.ts';
import { fromJson, toGoJson } from '../../api/json.ts';
import { readJson } from '../../base/files.ts';
import { containerPaths, containersOf, type Runtime } from '../runtime.ts';
import { defaultHandler } from '../runtime-handlers.ts';
import { stopSignalName } from '../spec/signals.ts';
import type { Container, ContainerState } from '../state/container.ts';
import { wireState } from './list.ts';

/** From memory; only `verbose` reads the bundle's config.json. */
export const containerStatus = async (
  runtime: Runtime,
  request: ContainerStatusRequest,
): Promise<ContainerStatusResponse> => {
  const container = runtime.containers.get(request.container_id);
  const info = request.verbose ? { info: JSON.stringify(await verboseInfo(runtime, container)) } : {};
  return { status: statusOf(container), info };
};

export const statusOf = (container: Container): ContainerStatus => {
  const { config, record, user } = container;
  return {
    id: container.id,
    metadata: config.metadata,
    state: wireState(container),
    created_at: BigInt(record.createdAt),
    ...timesAndEnd(record.state),
    image: config.image && { ...config.image, image: record.imageName },
    image_ref: record.imageRef,
    image_id: record.imageId,
    labels: config.labels,
    annotations: config.annotations,
    mounts: mountsOf(container),
    log_path: record.logPath,
    resources: wireResources(container),
    user: { linux: user },
    stop_signal: stopSignalName(record.stopSignal),
  };
};

/**
 * Of all containers of a pod, the newest first: kubelet takes the first of a name for the one that counts, and does not sort those
 * of PodSandboxStatus (v1.36, EventedPLEG).
 */
export const statusesOf = (runtime: Pick<Runtime, 'containers'>, sandboxId: string): ContainerStatus[] =>
  containersOf(runtime, sandboxId)
    .map(statusOf)
    .toSorted((a, b) => Number(b.created_at - a.created_at));

const wireResources = (container: Container): ContainerStatus['resources'] => {
  const linux = resourcesOf(container);
  return linux && { linux, windows: undefined };
};

/** As asked, each image with the id that its name led to then. */
const mountsOf = ({ config, record }: Container): ContainerStatus['mounts'] =>
  config.mounts.map((mount, i) => {
    const id = record.mountImages?.[i] ?? '';
    return id === '' || mount.image === undefined ? mount : { ...mount, image: { ...mount.image, image_ref: id } };
  });

type TimesAndEnd = Pick<ContainerStatus, 'started_at' | 'finished_at' | 'exit_code' | 'reason' | 'message'>;

const timesAndEnd = (state: ContainerState): TimesAndEnd => {
  const none = { started_at: 0n, finished_at: 0n, exit_code: 0, reason: '', message: '' };
  if (state.kind === 'created') return none;
  if (state.kind === 'running') return { ...none, started_at: BigInt(state.startedAt) };
  return {
    started_at: BigInt(state.startedAt),
    finished_at: BigInt(state.finishedAt),
    exit_code: state.exitCode,
    reason: state.reason,
    message: state.message,
  };
};

/** What is set, not what was asked for; before a record told that, it was the request. */
export const resourcesOf = ({ config, record }: Container): LinuxContainerResources | undefined =>
  record.resources === undefined ? config.linux?.resources : fromJson('LinuxContainerResources', record.resources);

/** The keys that scripts read from containerd's answer, but for its snapshots: there are none. */
const verboseInfo = async (runtime: Runtime, container: Container): Promise<object> => {
  const { state, sandboxId } = container.record;
  return {
    sandboxID: sandboxId,
    pid: state.kind === 'running' ? state.pid : 0,
    removing: false,
    runtimeType: defaultHandler,
    config: toGoJson('ContainerConfig', container.config),
    runtimeSpec: (await readJson(containerPaths(runtime.config, container.id).spec)) ?? null,
  };
};
