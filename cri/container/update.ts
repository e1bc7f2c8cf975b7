import type { UpdateContainerResourcesRequest } from '../../api/generated/types.ts';
import { fromJson } from '../../api/json.ts';
import { BerthError, errnoOf, invalid, messageOf, within } from '../../base/errors.ts';
import { removeTree, writeVolatile } from '../../base/files.ts';
import { Rollback } from '../../base/rollback.ts';
import { checkFits } from '../cgroup/memory.ts';
import { containerPaths, type Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import { blockIoNames, blockIoOf } from './block-io.ts';
import { applyLimits, applyScore, noSupervisor, settleUpdate, undoUpdate, writeLimits } from './limits.ts';
import { setResources } from './save.ts';
import { explained, planUpdate, type Wanted } from './update-plan.ts';

/**
 * Changes the limits of a container that is created or runs: all that the request names, or none. What is 0 or empty
 * stays as it is.
 */
export const updateContainerResources = async (
  runtime: Runtime,
  request: UpdateContainerResourcesRequest,
): Promise<object> => {
  if (request.windows) throw new BerthError('unimplemented', 'UpdateContainerResources: windows: this is Linux');
  checkAnnotations(runtime, request);
  const container = runtime.containers.get(request.container_id);
  await runtime.locks
    .run(container.id, () => update(runtime, container, request))
    .catch((error: unknown) => {
      throw within(`update container ${container.id}`, error);
    });
  return {};
};

/** Those that the configuration names are limits; any other would be ignored. */
const checkAnnotations = (runtime: Runtime, { annotations }: UpdateContainerResourcesRequest): void => {
  const known = Object.values(blockIoNames(runtime));
  const other = Object.keys(annotations).find((name) => !known.includes(name));
  if (other !== undefined)
    throw invalid(
      `UpdateContainerResources: annotations: ${JSON.stringify(other.slice(0, 128))} is not one that the configuration names`,
    );
};

const update = async (
  runtime: Runtime,
  container: Container,
  request: UpdateContainerResourcesRequest,
): Promise<void> => {
  checkLive(runtime, container);
  await settleUpdate(runtime, container);
  const blockIO = await blockIoOf(runtime, request.annotations);
  if ((request.linux ?? blockIO) === undefined) return;
  const wanted = await planUpdate(
    runtime,
    container,
    request.linux ?? fromJson('LinuxContainerResources', {}),
    blockIO,
  );
  if (container.record.state.kind === 'running') checkFits(runtime.cgroups, wanted.path, wanted.change.writes);
  await perform(runtime, container, wanted);
};

const checkLive = (runtime: Runtime, container: Container): void => {
  const there = runtime.containers.find(container.id) === container;
  if (!there) throw new BerthError('not-found', 'it was removed');
  const { kind } = container.record.state;
  if (kind === 'exited') throw new BerthError('failed-precondition', 'it has ended');
  if (kind === 'running' && container.supervisor === undefined) throw noSupervisor();
};

const perform = async (runtime: Runtime, container: Container, { path, change, pending }: Wanted): Promise<void> => {
  const paths = containerPaths(runtime.config, container.id);
  await using rollback = new Rollback((step, error) => tell(runtime, container, step, error));
  await writeVolatile(paths.update, JSON.stringify(pending));
  rollback.add('update', async () => {
    await undoUpdate(runtime, container, pending);
    await removeTree(paths.update);
  });
  await applyLimits(runtime, container, pending, change.writes).catch((error: unknown) => {
    throw explained(runtime, path, change, error);
  });
  if (container.record.state.kind === 'running') await applyScore(runtime, container, pending.before, pending.after);
  await writeLimits(runtime, container, pending.after);
  await setResources(runtime, container, pending.inForce, pending.id);
  rollback.keep();
  await removeTree(paths.update);
};

/** A container that ended meanwhile has no files to put back. */
const tell = (runtime: Runtime, container: Container, step: string, error: unknown): void => {
  const level = isGone(error) || container.record.state.kind === 'exited' ? 'debug' : 'error';
  runtime.log[level]({ container: container.id, step, error: messageOf(error) }, 'limits were not put back');
};

const isGone = (error: unknown): boolean => error instanceof BerthError && errnoOf(error.cause) === 'ENOENT';
