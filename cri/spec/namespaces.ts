import { BerthError, invalid } from '../../base/errors.ts';
import type { OciNamespace } from '../../shim/oci.ts';
import type { NamespaceOption, PodSandboxConfig } from './types.ts';
import { checkContainerUser, type UserMapping, userMapping } from './user-namespace.ts';
import { enumName } from './values.ts';

const modes = ['POD', 'CONTAINER', 'NODE', 'TARGET'] as const;
type Mode = (typeof modes)[number];

/** How a pod's namespaces are made. */
export interface SandboxNamespaces {
  readonly network: 'pod' | 'node';
  readonly ipc: 'pod' | 'node';
  /** Pods on the host's network use the host's UTS namespace as well, as with containerd and CRI-O. */
  readonly uts: 'pod' | 'node';
  /** `pod`: one pid namespace for all containers. */
  readonly pid: 'pod' | 'container' | 'node';
  /** The pod's user namespace, which owns its other ones; undefined for the node's. */
  readonly user?: UserMapping;
}

const mode = (options: NamespaceOption | undefined, field: 'network' | 'pid' | 'ipc'): Mode =>
  enumName(options?.[field], modes, `namespace_options.${field}`);

const podOrNode = (options: NamespaceOption | undefined, field: 'network' | 'ipc'): 'pod' | 'node' => {
  const asked = mode(options, field);
  if (asked === 'POD') return 'pod';
  if (asked === 'NODE') return 'node';
  throw invalid(`namespace_options.${field}: ${asked} is not possible, only POD and NODE are`);
};

const sandboxPid = (options: NamespaceOption | undefined): SandboxNamespaces['pid'] => {
  const asked = mode(options, 'pid');
  if (asked === 'TARGET') throw invalid('namespace_options.pid: TARGET is for containers, not for pods');
  return asked === 'POD' ? 'pod' : asked === 'NODE' ? 'node' : 'container';
};

/** What the pod's configuration asks for; a missing message is POD throughout, as proto3 reads it. */
export const sandboxNamespaces = (config: PodSandboxConfig): SandboxNamespaces => {
  const options = config.linux?.security_context?.namespace_options;
  const network = podOrNode(options, 'network');
  const user = userMapping(options);
  const [ipc, pid] = [podOrNode(options, 'ipc'), sandboxPid(options)];
  // Its processes would be nobody there, and its mounts would fail; Kubernetes forbids both.
  if (user !== undefined && (ipc === 'node' || pid === 'node'))
    throw invalid(
      `userns_options.mode: POD with namespace_options.${ipc === 'node' ? 'ipc' : 'pid'} NODE is not possible`,
    );
  return { network, ipc, uts: network, pid, ...(user === undefined ? {} : { user }) };
};

/** Where the pod's namespaces are; a path is missing where the host's is used, or for pid where each container has its own. */
export interface NamespacePaths {
  readonly user?: string;
  readonly network?: string;
  readonly ipc?: string;
  readonly uts?: string;
  readonly pid?: string;
}

export interface NamespaceInput {
  /** The container's options. Without any the container takes what its pod has. */
  readonly options: NamespaceOption | undefined;
  readonly pod: SandboxNamespaces;
  readonly paths: NamespacePaths;
  /** /proc/PID/ns/pid of the container that `target_id` names, when it runs. */
  readonly targetPid?: string;
  readonly privileged: boolean;
}

// A container has its pod's network, ipc and uts; asking for the host's inside a pod that has its own is no grant.
const joined = (input: NamespaceInput, type: 'network' | 'ipc'): readonly OciNamespace[] => {
  const asked = input.options ? podOrNode(input.options, type) : input.pod[type];
  if (asked === 'node' && input.pod[type] !== 'node')
    throw invalid(`namespace_options.${type}: NODE in a pod that does not use the host's`);
  return join(type, input.pod[type], input.paths[type]);
};

const join = (
  type: 'network' | 'ipc' | 'uts',
  where: 'pod' | 'node',
  path: string | undefined,
): readonly OciNamespace[] => {
  if (where === 'node') return [];
  if (path === undefined) throw new BerthError('failed-precondition', `the pod's ${type} namespace is gone`);
  return [{ type, path }];
};

const containerPid = ({ options, pod }: NamespaceInput): 'pod' | 'container' | 'node' | 'target' => {
  if (!options) return pod.pid;
  const asked = mode(options, 'pid');
  if (options.target_id && asked !== 'TARGET')
    throw invalid(`namespace_options.target_id: pid is ${asked}, not TARGET`);
  if (asked === 'NODE' && pod.pid !== 'node')
    throw invalid("namespace_options.pid: NODE in a pod that does not use the host's");
  if (asked === 'POD') return pod.pid;
  return asked === 'NODE' ? 'node' : asked === 'TARGET' ? 'target' : 'container';
};

const pidNamespace = (input: NamespaceInput): readonly OciNamespace[] => {
  const where = containerPid(input);
  if (where === 'node') return [];
  if (where === 'container') return [{ type: 'pid' }];
  if (where === 'target') return [{ type: 'pid', path: targetPath(input) }];
  if (input.paths.pid === undefined) throw new BerthError('failed-precondition', "the pod's pid namespace is gone");
  return [{ type: 'pid', path: input.paths.pid }];
};

const targetPath = ({ options, targetPid }: NamespaceInput): string => {
  if (!options?.target_id) throw invalid('namespace_options.pid: TARGET without target_id');
  if (targetPid === undefined)
    throw new BerthError(
      'failed-precondition',
      `namespace_options.target_id: container ${options.target_id} does not run in this pod`,
    );
  return targetPid;
};

const userNamespace = ({ options, pod, paths }: NamespaceInput): readonly OciNamespace[] => {
  checkContainerUser(options, pod.user);
  if (pod.user === undefined) return [];
  if (paths.user === undefined) throw new BerthError('failed-precondition', "the pod's user namespace is gone");
  return [{ type: 'user', path: paths.user }];
};

/** The container's namespaces. A privileged one sees the host's cgroups, as with containerd; in a user namespace nobody can. */
export const containerNamespaces = (input: NamespaceInput): readonly OciNamespace[] => {
  return [
    ...userNamespace(input),
    ...pidNamespace(input),
    ...joined(input, 'network'),
    ...joined(input, 'ipc'),
    ...join('uts', input.pod.uts, input.paths.uts),
    { type: 'mount' },
    ...(input.privileged && input.pod.user === undefined ? [] : [{ type: 'cgroup' as const }]),
  ];
};
