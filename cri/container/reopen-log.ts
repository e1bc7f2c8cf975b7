import type { ReopenContainerLogRequest } from '../../api/generated/types.ts';
import { BerthError, within } from '../../base/errors.ts';
import type { Runtime } from '../runtime.ts';

/** Opens the log file anew after it was rotated. On an error the old file stays in use. */
export const reopenContainerLog = async (runtime: Runtime, request: ReopenContainerLogRequest): Promise<object> => {
  const container = runtime.containers.get(request.container_id);
  if (container.supervisor === undefined)
    throw new BerthError('failed-precondition', `reopen the log of container ${container.id}: it is not running`);
  await container.supervisor.reopenLog().catch((error: unknown) => {
    throw within(`reopen the log of container ${container.id}`, error);
  });
  return {};
};
