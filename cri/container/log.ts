import type { ContainerConfig } from '../../api/generated/types.ts';
import type { Runtime } from '../runtime.ts';
import type { Sandbox } from '../state/sandbox.ts';

interface Logged {
  readonly sandbox: Pick<Sandbox, 'config'>;
  readonly config: Pick<ContainerConfig, 'annotations'>;
  readonly log: string;
}

/**
 * Where the supervisor writes, and how it ends: an F tells log collectors that the last line is whole, and tells kubelet that a newline came.
 * Where kubelet takes a container's termination message out of the log, that newline would be in the message.
 */
export const logOf = (
  { config: { log } }: Pick<Runtime, 'config'>,
  input: Logged,
): { readonly path: string; readonly directory: string; readonly exact: boolean } => ({
  path: input.log,
  directory: input.sandbox.config.log_directory,
  exact: input.config.annotations[log.termination_annotation] === 'FallbackToLogsOnError',
});
