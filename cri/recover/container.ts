import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, orMissing } from '../../base/errors.ts';
import { endCgroup } from '../../shim/cgroup.ts';
import { forgetScope } from '../container/end-scope.ts';
import { recordLoss } from '../container/exit.ts';
import { settleUpdate } from '../container/limits.ts';
import { removeOne } from '../container/remove.ts';
import { setState, stateOnDisk } from '../container/save.ts';
import { takeOver } from '../container/take-over.ts';
import { containerPaths, now, type Runtime } from '../runtime.ts';
import type { Container, ContainerState } from '../state/container.ts';

/** What became of one container while no daemon was there. Only a free lock proves that its supervisor is dead. */
export const recoverContainer = async (runtime: Runtime, container: Container): Promise<void> => {
  await settle(runtime, container);
  await runtime.locks
    .run(container.id, () => settleUpdate(runtime, container))
    .catch((error: unknown) =>
      runtime.log.error({ container: container.id, error: messageOf(error) }, 'a half done update of its limits stays'),
    );
  if (runtime.sandboxes.find(container.record.sandboxId) === undefined) await removeOne(runtime, container);
};

const settle = async (runtime: Runtime, container: Container): Promise<void> => {
  container.record = { ...container.record, state: await stateOnDisk(runtime, container) };
  const { kind } = container.record.state;
  if (kind === 'created') return runtime.locks.run(container.id, () => settleCreated(runtime, container));
  if (kind === 'running' && !(await takeOver(runtime, container))) await recordLoss(runtime, container);
};

/**
 * A created container stays one, unless its start had begun: its writable layer has been mounted then. Whoever comes to start it
 * waits until that is known: what is left of the first start and killed would be theirs.
 */
const settleCreated = async (runtime: Runtime, container: Container): Promise<void> => {
  if (await takeOver(runtime, container)) return;
  const { plan, lock, work } = containerPaths(runtime.config, container.id);
  // The kernel makes the last when it mounts the layer; it outlives a restart of the machine.
  const [hasPlan, hasLock, hadMount] = await Promise.all(
    [plan, lock, join(work, 'work')].map(async (path) => (await orMissing(stat(path))) !== undefined),
  );
  if (hasPlan && !hasLock) return;
  await endCgroup(runtime.agent, container.record.cgroups);
  const startedAt = hadMount ? container.record.createdAt : '0';
  const end = { startedAt, finishedAt: String(now()), ...endOf(hasPlan, hadMount) };
  await setState(runtime, container, { kind: 'exited', ...end });
  await forgetScope(runtime, container.record.cgroups);
};

const endOf = (hasPlan = false, hadMount = false): Pick<Ended, 'exitCode' | 'reason' | 'message'> => {
  const notStarted = { exitCode: 128, reason: 'StartError' };
  if (hasPlan) return { ...notStarted, message: 'berthd ended while the container was being started' };
  if (hadMount) return { exitCode: 137, reason: 'Error', message: 'the machine was restarted while it ran' };
  return { ...notStarted, message: 'the machine was restarted before it was started' };
};

type Ended = ContainerState & { readonly kind: 'exited' };
