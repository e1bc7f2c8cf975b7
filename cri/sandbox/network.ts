import type { NamespaceMode, PodSandboxConfig } from '../../api/generated/types.ts';
import type { NetworkSandbox } from '../network/types.ts';
import { type Runtime, sandboxPaths } from '../runtime.ts';
import type { Sandbox } from '../state/sandbox.ts';

export const networkMode = (config: PodSandboxConfig): NamespaceMode =>
  config.linux?.security_context?.namespace_options?.network ?? 'POD';

export const ipcMode = (config: PodSandboxConfig): NamespaceMode =>
  config.linux?.security_context?.namespace_options?.ipc ?? 'POD';

/** The part of the sandbox that CNI is told. */
export const networkSandbox = (runtime: Runtime, sandbox: Sandbox): NetworkSandbox => {
  const { metadata, port_mappings, annotations, dns_config, linux } = sandbox.config;
  return {
    id: sandbox.id,
    name: metadata?.name ?? '',
    namespace: metadata?.namespace ?? '',
    uid: metadata?.uid ?? '',
    netnsPath: sandbox.record.netns,
    portMappings: port_mappings.map((mapping) => ({
      protocol: mapping.protocol,
      containerPort: mapping.container_port,
      hostPort: mapping.host_port,
      hostIp: mapping.host_ip,
    })),
    annotations,
    dns: dns_config ?? { servers: [], searches: [], options: [] },
    cgroupParent: linux?.cgroup_parent ?? '',
    lockPath: sandboxPaths(runtime.config, sandbox.id).cniLock,
  };
};
