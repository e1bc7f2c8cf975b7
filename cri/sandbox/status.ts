import type {
  PodSandboxNetworkStatus,
  PodSandboxStatus,
  PodSandboxStatusRequest,
  PodSandboxStatusResponse,
} from '../../api/generated/types.ts';
import { statusOf } from '../container/status.ts';
import { containersOf, now, type Runtime, sandboxPaths } from '../runtime.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { wireState } from './list.ts';

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

/** There is no pause process, so there is no pid: the namespaces' paths say where the pod is. */
const verboseInfo = (runtime: Runtime, sandbox: Sandbox): object => {
  const { ipc, uts, shm } = sandboxPaths(runtime.config, sandbox.id);
  const { state, netns, runtimeHandler } = sandbox.record;
  return { sandboxID: sandbox.id, pid: 0, state, runtimeHandler, namespaces: { network: netns, ipc, uts }, shm };
};
