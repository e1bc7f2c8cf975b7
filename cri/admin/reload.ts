import type { Input, ReloadResponse } from '../../api/generated/types.ts';
import type { Reloads } from '../reload.ts';

/** What SIGHUP does, with an answer. */
export const adminReload = async (reloads: Pick<Reloads, 'run'>): Promise<Input<ReloadResponse>> => {
  const { changes, files } = await reloads.run();
  return {
    changes: changes.map(({ key, old, now, needsRestart }) => ({
      key,
      old_value: old,
      new_value: now,
      needs_restart: needsRestart,
    })),
    files: [...files],
  };
};
