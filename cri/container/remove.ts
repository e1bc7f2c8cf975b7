import type { RemoveContainerRequest } from '../../api/generated/types.ts';
import { removeTree } from '../../base/files.ts';
import { tellContainer } from '../events/get-container-events.ts';
import { containerPaths, type Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import { leaveScope } from './end-scope.ts';
import { killContainer } from './stop.ts';

/**
 * Kills it when it runs, then removes all that it had but its log, which is the caller's. A writable layer that takes long to delete
 * goes behind. Idempotent.
 */
export const removeContainer = async (runtime: Runtime, request: RemoveContainerRequest): Promise<object> => {
  const container = runtime.containers.find(request.container_id);
  if (container !== undefined) await removeOne(runtime, container);
  return {};
};

export const removeOne = (runtime: Runtime, container: Container): Promise<void> =>
  runtime.locks.run(container.id, async () => {
    if (runtime.containers.find(container.id) === undefined) return;
    await killContainer(runtime, container);
    await leaveScope(runtime, container.record.cgroups);
    const { bundle, layer } = containerPaths(runtime.config, container.id);
    await Promise.all([
      removeTree(bundle),
      runtime.removedLayers.remove([layer]),
      runtime.images.release(container.id),
    ]);
    await runtime.containerStore.remove(container.id);
    runtime.containers.delete(container);
    tellContainer(runtime, container, 'deleted');
  });
