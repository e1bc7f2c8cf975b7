import type { ContainerConfig } from '../../api/generated/types.ts';
import type { Runtime } from '../runtime.ts';
import type { Sandbox } from '../state/sandbox.ts';

/** The pid namespace of the running container of this pod that `namespace_options.target_id` names, if it is one. */
export const targetPid = (runtime: Runtime, sandbox: Sandbox, config: ContainerConfig): string | undefined => {
  const options = config.linux?.security_context?.namespace_options;
  if (options?.pid !== 'TARGET' || options.target_id === '') return undefined;
  const target = runtime.containers.find(options.target_id);
  if (target?.record.sandboxId !== sandbox.id || target.record.state.kind !== 'running') return undefined;
  return `/proc/${target.record.state.pid}/ns/pid`;
};
