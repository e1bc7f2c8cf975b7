import { invalid } from '../../base/errors.ts';
import { maxId } from './accounts.ts';
import { appArmorChoice, seccompChoice } from './security.ts';
import type { PodSandboxConfig, SecurityContext } from './types.ts';
import { boundedInt } from './values.ts';

/** What a new pod asks for and could only be passed over. Errors: invalid-argument that names the field. */
export const checkPod = (config: PodSandboxConfig, host: { readonly hostname: string }): void => {
  const context = config.linux?.security_context ?? {};
  checkProcess(context);
  if (context.namespace_options?.network !== 'NODE') return;
  if (config.hostname && config.hostname !== host.hostname)
    throw invalid(`hostname: a pod on the host's network has the host's, ${host.hostname}, not ${config.hostname}`);
  checkHostPorts(config);
};

/** On the host's network a container's port is the host's: there is nothing that could lead one to another. */
const checkHostPorts = ({ port_mappings = [] }: PodSandboxConfig): void => {
  for (const { host_port = 0, container_port = 0 } of port_mappings)
    if (host_port !== 0 && host_port !== container_port)
      throw invalid(`port_mappings: host_port ${host_port} for ${container_port} in a pod on the host's network`);
};

/**
 * A pod has no process of its own but the init of a shared pid namespace, which is confined further than any of this could do. What
 * is no user, group or profile is refused all the same.
 */
const checkProcess = (context: SecurityContext): void => {
  const { run_as_user, run_as_group } = context;
  if (run_as_user) boundedInt(run_as_user.value, 'run_as_user', 0, maxId);
  if (run_as_group) boundedInt(run_as_group.value, 'run_as_group', 0, maxId);
  if (run_as_group && !run_as_user) throw invalid('run_as_group: a group without run_as_user');
  for (const id of context.supplemental_groups ?? []) boundedInt(id, 'supplemental_groups', 0, maxId);
  seccompChoice(context);
  appArmorChoice(context, { appArmor: true });
};

/** CRI has the pod's supplemental groups for the first process of each container; the stricter of the two policies holds. */
export const withPodGroups = (context: SecurityContext, pod: PodSandboxConfig): SecurityContext => {
  const { supplemental_groups: groups = [], supplemental_groups_policy: policy } = pod.linux?.security_context ?? {};
  if (groups.length === 0 && policy !== 'Strict') return context;
  return {
    ...context,
    supplemental_groups: [...groups, ...(context.supplemental_groups ?? [])],
    supplemental_groups_policy: policy === 'Strict' ? policy : context.supplemental_groups_policy,
  };
};
