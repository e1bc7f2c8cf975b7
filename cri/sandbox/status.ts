import type {
  PodSandboxNetworkStatus,
  PodSandboxStatus,
  PodSandboxStatusRequest,
  PodSandboxStatusResponse,
} from '../../api/generated/types.ts';
import { statusOf } from '../container/status.ts';
import { containersOf, now, type Runtime } from '../runtime.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { wireState } from './list.ts';
import { sandboxView } from './view.ts';

/** From memory alone. */
export const podSandboxStatus = (runtime: Runtime, request: PodSandboxStatusRequest): PodSandboxStatusResponse => {
  const sandbox = runtime.sandboxes.get(request.pod_sandbox_id);
  return {
    status: sandboxStatusOf(sandbox),
    info: request.verbose ? { info: JSON.stringify(verboseInfo(runtime, sandbox)) } : {},
    containers_statuses: containersOf(runtime, sandbox.id).map(statusOf),
    timestamp: now(),
  };
};

export const sandboxStatusOf = (sandbox: Sandbox): PodSandboxStatus => {
  const { config, record } = sandbox;
  return {
    id: sandbox.id,
    metadata: config.metadata,
    state: wireState(sandbox),
    created_at: BigInt(record.createdAt),
    network: networkOf(sandbox),
    linux: { namespaces: { options: config.linux?.security_context?.namespace_options } },
    labels: config.labels,
    annotations: config.annotations,
    runtime_handler: record.runtimeHandler,
  };
};

/** A pod on the host's network has no address of its own: kubelet takes the node's. */
const networkOf = ({ record }: Sandbox): PodSandboxNetworkStatus => {
  const [ip = '', ...others] = record.state === 'ready' ? record.ips : [];
  return { ip, additional_ips: others.map((other) => ({ ip: other })) };
};

/**
 * The keys that scripts read from containerd's answer. There is no pause process, so there is no pid: where the pod is
 * say the paths of its namespaces.
 */
const verboseInfo = (runtime: Runtime, sandbox: Sandbox): object => {
  const { hostname, paths, files } = sandboxView(runtime, sandbox);
  const { state, runtimeHandler, config } = sandbox.record;
  const pinned = state === 'ready' ? Object.entries(paths) : [];
  const namespaces = pinned.map(([type, path]) => ({ type, path }));
  return {
    sandboxID: sandbox.id,
    pid: 0,
    state,
    runtimeHandler,
    config,
    shm: files.shm,
    runtimeSpec: { hostname, linux: { namespaces } },
  };
};
