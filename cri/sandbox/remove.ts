import type { RemovePodSandboxRequest } from '../../api/generated/types.ts';
import { removeTree } from '../../base/files.ts';
import { removeOne } from '../container/remove.ts';
import { tellSandbox } from '../events/get-container-events.ts';
import { containersOf, type Runtime, sandboxPaths } from '../runtime.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { removeParents } from './cgroup-parents.ts';
import { stopSandbox } from './stop.ts';

/** Stops it when it still runs, removes its containers and then itself. Idempotent. */
export const removePodSandbox = async (runtime: Runtime, request: RemovePodSandboxRequest): Promise<object> => {
  const sandbox = runtime.sandboxes.find(request.pod_sandbox_id);
  if (sandbox !== undefined) await runtime.locks.run(sandbox.id, () => removeSandbox(runtime, sandbox));
  return {};
};

const removeSandbox = async (runtime: Runtime, sandbox: Sandbox): Promise<void> => {
  if (runtime.sandboxes.find(sandbox.id) === undefined) return;
  await stopSandbox(runtime, sandbox);
  await Promise.all(containersOf(runtime, sandbox.id).map((container) => removeOne(runtime, container)));
  await removeParents(runtime, sandbox);
  await removeTree(sandboxPaths(runtime.config, sandbox.id).directory);
  await runtime.sandboxStore.remove(sandbox.id);
  runtime.sandboxes.delete(sandbox);
  tellSandbox(runtime, sandbox, 'deleted');
};
