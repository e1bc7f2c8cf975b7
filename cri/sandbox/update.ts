import type { UpdatePodSandboxResourcesRequest } from '../../api/generated/types.ts';
import { toJson } from '../../api/json.ts';
import { BerthError, within } from '../../base/errors.ts';
import type { Runtime } from '../runtime.ts';
import { checkPodResources } from '../spec/sandbox.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { setRecord } from './save.ts';

/**
 * Keeps what a pod as a whole may use from now on. kubelet has changed the pod's cgroup before it calls; a message that
 * the request lacks leaves what is known.
 */
export const updatePodSandboxResources = async (
  runtime: Runtime,
  request: UpdatePodSandboxResourcesRequest,
): Promise<object> => {
  const sandbox = runtime.sandboxes.get(request.pod_sandbox_id);
  await runtime.locks
    .run(sandbox.id, () => update(runtime, sandbox, request))
    .catch((error: unknown) => {
      throw within(`update pod sandbox ${sandbox.id}`, error);
    });
  return {};
};

const update = async (
  runtime: Runtime,
  sandbox: Sandbox,
  { overhead, resources }: UpdatePodSandboxResourcesRequest,
): Promise<void> => {
  if (sandbox.record.state !== 'ready')
    throw new BerthError('failed-precondition', `it is ${sandbox.record.state}, not ready`);
  checkPodResources('overhead', overhead);
  checkPodResources('resources', resources);
  if ((overhead ?? resources) === undefined) return;
  await setRecord(runtime, sandbox, {
    ...(overhead && { overhead: toJson('LinuxContainerResources', overhead) }),
    ...(resources && { resources: toJson('LinuxContainerResources', resources) }),
  });
};
