import type {
  PodSandboxNetworkStatus,
  PodSandboxStatus,
  PodSandboxStatusRequest,
  PodSandboxStatusResponse,
} from '../../api/generated/types.ts';
import { fromJson, toGoJson } from '../../api/json.ts';
import { statusesOf } from '../container/status.ts';
import { now, type Runtime } from '../runtime.ts';
import { defaultHandler } from '../runtime-handlers.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { cniResultOf } from './cni-result.ts';
import { wireState } from './list.ts';
import { sandboxView } from './view.ts';

/** From memory; only `verbose` reads CNI's answer. */
export const podSandboxStatus = async (
  runtime: Runtime,
  request: PodSandboxStatusRequest,
): Promise<PodSandboxStatusResponse> => {
  const sandbox = runtime.sandboxes.get(request.pod_sandbox_id);
  return {
    status: sandboxStatusOf(sandbox),
    info: request.verbose ? { info: JSON.stringify(await verboseInfo(runtime, sandbox)) } : {},
    containers_statuses: statusesOf(runtime, sandbox.id),
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
 * The keys that scripts read from containerd's answer. There is no pause process, so there is no pid: where the pod is say the
 * paths of its namespaces, of which a stopped pod has none.
 */
const verboseInfo = async (runtime: Runtime, sandbox: Sandbox): Promise<object> => {
  const { hostname, paths, files } = sandboxView(runtime, sandbox);
  const { record } = sandbox;
  const ready = record.state === 'ready';
  const config = toGoJson('PodSandboxConfig', sandbox.config);
  const namespaces = ready ? Object.entries(paths).map(([type, path]) => ({ type, path })) : [];
  return {
    sandboxID: sandbox.id,
    pid: 0,
    processStatus: ready ? 'running' : 'deleted',
    netNamespaceClosed: !ready && record.netns !== '',
    state: record.state,
    runtimeHandler: record.runtimeHandler,
    runtimeType: defaultHandler,
    config,
    overhead: podResources(sandbox, 'overhead'),
    resources: podResources(sandbox, 'resources'),
    shm: files.shm,
    runtimeSpec: { hostname, linux: { namespaces } },
    cniResult: await cniResultOf(runtime, sandbox),
    sandboxMetadata: metadataOf(sandbox, config),
  };
};

/** What UpdatePodSandboxResources has told last, else what the pod was made with; CRI's status has no place for it. */
const podResources = ({ record, config }: Sandbox, name: 'overhead' | 'resources'): object | null => {
  const updated = record[name] && fromJson('LinuxContainerResources', record[name]);
  const known = updated ?? config.linux?.[name];
  return known ? toGoJson('LinuxContainerResources', known) : null;
};

const metadataOf = (sandbox: Sandbox, config: object): object => {
  const { id, record } = sandbox;
  const { ip, additional_ips } = networkOf(sandbox);
  return {
    Version: 'v1',
    Metadata: {
      ID: id,
      Name: sandbox.key,
      Config: config,
      NetNSPath: record.netns,
      IP: ip,
      AdditionalIPs: additional_ips.map(({ ip: other }) => other),
      RuntimeHandler: record.runtimeHandler,
    },
  };
};
