import { isIP } from 'node:net';
import { invalid } from '../../base/errors.ts';
import { bandwidthOf } from './bandwidth.ts';
import type { PluginConf } from './conflist.ts';
import type { Json, JsonObject } from './json.ts';
import type { CapabilityArgs, NetworkSandbox, PortMapping } from './types.ts';

const port = (value: number, what: string): number => {
  if (!Number.isInteger(value) || value < 1 || value > 65_535)
    throw invalid(`${what} ${value} is not between 1 and 65535`);
  return value;
};

const protocol = (value: string): string => {
  if (!['TCP', 'UDP', 'SCTP'].includes(value)) throw invalid(`port mapping: protocol ${value} is not TCP, UDP or SCTP`);
  return value.toLowerCase();
};

const hostIp = (value: string): { readonly hostIP?: string } => {
  if (value === '') return {};
  if (isIP(value) === 0) throw invalid(`port mapping: host IP ${JSON.stringify(value.slice(0, 80))} is not an address`);
  return { hostIP: value };
};

const portMapping = (mapping: PortMapping): JsonObject => ({
  hostPort: port(mapping.hostPort, 'port mapping: host port'),
  containerPort: port(mapping.containerPort, 'port mapping: container port'),
  protocol: protocol(mapping.protocol),
  ...hostIp(mapping.hostIp),
});

const dnsOf = ({ servers, searches, options }: NetworkSandbox['dns']): Json | undefined =>
  servers.length + searches.length + options.length === 0 ? undefined : { servers, searches, options };

/** What the runtime knows about the pod, by the capability that asks for it (CNI's CONVENTIONS.md). */
export const capabilityArgs = (sandbox: NetworkSandbox): CapabilityArgs => {
  const mappings = sandbox.portMappings.filter((mapping) => mapping.hostPort !== 0).map(portMapping);
  const args: Readonly<Record<string, Json | undefined>> = {
    portMappings: mappings.length === 0 ? undefined : mappings,
    bandwidth: bandwidthOf(sandbox.annotations),
    dns: dnsOf(sandbox.dns),
    ips: sandbox.ips?.length ? sandbox.ips : undefined,
    cgroupPath: sandbox.cgroupParent === '' ? undefined : sandbox.cgroupParent,
    'io.kubernetes.cri.pod-annotations':
      Object.keys(sandbox.annotations).length === 0 ? undefined : sandbox.annotations,
  };
  return Object.fromEntries(Object.entries(args).filter((entry): entry is [string, Json] => entry[1] !== undefined));
};

/** The plugin's `runtimeConfig`: what it declares and the runtime has. */
export const runtimeConfig = (plugin: PluginConf, args: CapabilityArgs): JsonObject =>
  Object.fromEntries(Object.entries(args).filter(([name]) => plugin.capabilities.includes(name)));

/** Plugins split CNI_ARGS at `;` and `=`: a name with one of them would become another argument. */
const argument = (key: string, value: string): string => {
  if (/[;=\p{Cc}]/u.test(value))
    throw invalid(
      `${key} ${JSON.stringify(value.slice(0, 80))}: has a character that CNI_ARGS cannot carry (; = or control)`,
    );
  return `${key}=${value}`;
};

/** CNI_ARGS in the form that containerd gives them and plugins such as Calico and Multus read. */
export const cniArgs = (sandbox: NetworkSandbox): string =>
  [
    'IgnoreUnknown=1',
    argument('K8S_POD_NAMESPACE', sandbox.namespace),
    argument('K8S_POD_NAME', sandbox.name),
    argument('K8S_POD_INFRA_CONTAINER_ID', sandbox.id),
    argument('K8S_POD_UID', sandbox.uid),
  ].join(';');
