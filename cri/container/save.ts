import { BerthError } from '../../base/errors.ts';
import { readJson, writeVolatile } from '../../base/files.ts';
import { tellContainer } from '../events/get-container-events.ts';
import { containerPaths, type Runtime } from '../runtime.ts';
import type { Container, ContainerRecord, ContainerState } from '../state/container.ts';

/** An end is recorded beside what a caller changes: one after the other, each on what the other has left. */
const inTurn = (runtime: Runtime, container: Container, change: () => Promise<void>): Promise<void> =>
  runtime.locks.run(`record of ${container.id}`, change);

/**
 * The one place where a container's state changes: on disk first, then in memory. That it runs is a fact of this boot
 * of the machine, so it is written to the bundle and not to the record.
 */
export const setState = (runtime: Runtime, container: Container, state: ContainerState): Promise<void> =>
  inTurn(runtime, container, async () => {
    // What goes on in the background may end after the container was removed.
    if (runtime.containers.find(container.id) !== container) return;
    const record = { ...container.record, state };
    if (state.kind === 'running')
      await writeVolatile(containerPaths(runtime.config, container.id).running, JSON.stringify(state));
    else await runtime.containerStore.save(record);
    container.record = record;
    if (state.kind === 'exited') container.exited.resolve();
    if (state.kind !== 'created') tellContainer(runtime, container, state.kind === 'running' ? 'started' : 'stopped');
  });

/** What is in force from now on, by the update with the id `updated`. Errors: failed-precondition when it has ended meanwhile. */
export const setResources = (
  runtime: Runtime,
  container: Container,
  resources: NonNullable<ContainerRecord['resources']>,
  updated: string,
): Promise<void> =>
  inTurn(runtime, container, async () => {
    const { state } = container.record;
    if (state.kind === 'exited') throw new BerthError('failed-precondition', 'it has ended');
    await runtime.containerStore.save({ ...container.record, resources, updated, state: { kind: 'created' } });
    container.record = { ...container.record, resources, updated };
  });

/** The state with what the bundle knows better than the record: that the container was running. */
export const stateOnDisk = async (runtime: Runtime, container: Container): Promise<ContainerState> => {
  const { state } = container.record;
  if (state.kind !== 'created') return state;
  const running = await readJson(containerPaths(runtime.config, container.id).running);
  return isRunning(running) ? running : state;
};

const isRunning = (value: unknown): value is ContainerState & { readonly kind: 'running' } =>
  typeof value === 'object' &&
  value !== null &&
  'kind' in value &&
  value.kind === 'running' &&
  'pid' in value &&
  typeof value.pid === 'number' &&
  'startedAt' in value &&
  typeof value.startedAt === 'string' &&
  /^\d{1,20}$/.test(value.startedAt);
