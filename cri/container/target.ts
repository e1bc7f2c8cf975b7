import { stat } from 'node:fs/promises';
import type { ContainerConfig } from '../../api/generated/types.ts';
import { BerthError, orMissing } from '../../base/errors.ts';
import { readJson } from '../../base/files.ts';
import type { OciSpec } from '../../shim/oci.ts';
import { connectSupervisor } from '../../shim/supervisor.ts';
import { containerPaths, type Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import type { Sandbox } from '../state/sandbox.ts';

/** The pid namespace of the running container of this pod that `namespace_options.target_id` names, if it is one. */
export const targetPid = (runtime: Runtime, sandbox: Sandbox, config: ContainerConfig): string | undefined => {
  const options = config.linux?.security_context?.namespace_options;
  if (options?.pid !== 'TARGET' || options.target_id === '') return undefined;
  const target = runtime.containers.find(options.target_id);
  if (target?.record.sandboxId !== sandbox.id || target.record.state.kind !== 'running') return undefined;
  return `/proc/${target.record.state.pid}/ns/pid`;
};

/**
 * The inode of that namespace, as the plan has it: between the check at the start and the join the target may end, and its
 * pid be given to any process of the machine.
 */
export const targetInode = async (
  runtime: Runtime,
  sandbox: Sandbox,
  config: ContainerConfig,
): Promise<{ readonly pidNamespace?: bigint }> => {
  const path = targetPid(runtime, sandbox, config);
  if (path === undefined) return {};
  const target = runtime.containers.get(config.linux?.security_context?.namespace_options?.target_id ?? '');
  const namespace = await orMissing(stat(path, { bigint: true }));
  // Its supervisor lets go of the pid when it knows of the end: until then the path was the target's.
  const supervisor = await connectSupervisor(containerPaths(runtime.config, target.id).bundle);
  try {
    if (namespace === undefined || (await supervisor.state()).state !== 'running') throw ended(target.id);
  } finally {
    supervisor.close();
  }
  return { pidNamespace: namespace.ino };
};

const ended = (id: string): BerthError =>
  new BerthError('failed-precondition', `namespace_options.target_id: container ${id} has ended`);

/** The path names a pid: it must still be the target's, or the container would join whatever has that pid now. */
export const checkTarget = async (runtime: Runtime, container: Container): Promise<void> => {
  if (container.config.linux?.security_context?.namespace_options?.pid !== 'TARGET') return;
  const spec = (await readJson(containerPaths(runtime.config, container.id).spec)) as OciSpec | undefined;
  const made = spec?.linux.namespaces.find(({ type }) => type === 'pid')?.path;
  const now = targetPid(runtime, runtime.sandboxes.get(container.record.sandboxId), container.config);
  if (made === undefined || made !== now)
    throw new BerthError(
      'failed-precondition',
      `start container ${container.id}: the container that namespace_options.target_id names does not run any more`,
    );
};
