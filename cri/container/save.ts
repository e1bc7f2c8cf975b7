import type { Runtime } from '../runtime.ts';
import type { Container, ContainerState } from '../state/container.ts';

/**
 * The one place where a container's state changes: on disk first, then in memory. `running` is not synced to disk:
 * the kernel tells it again after a crash of the daemon.
 */
export const setState = async (runtime: Runtime, container: Container, state: ContainerState): Promise<void> => {
  const record = { ...container.record, state };
  await runtime.containerStore.save(record, { durable: state.kind === 'exited' });
  container.record = record;
  if (state.kind === 'exited') container.exited.resolve();
};
