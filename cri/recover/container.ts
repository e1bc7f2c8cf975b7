import { stat } from 'node:fs/promises';
import { messageOf, orMissing } from '../../base/errors.ts';
import { endCgroup } from '../../shim/cgroup.ts';
import { recordLoss } from '../container/exit.ts';
import { settleUpdate } from '../container/limits.ts';
import { removeOne } from '../container/remove.ts';
import { setState, stateOnDisk } from '../container/save.ts';
import { takeOver } from '../container/take-over.ts';
import { containerPaths, now, type Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';

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
  if (container.record.state.kind === 'exited') return;
  if (await takeOver(runtime, container)) return;
  if (container.record.state.kind === 'running') return recordLoss(runtime, container);
  await settleCreated(runtime, container);
};

/** A created container stays one, unless its start had begun: its writable layer has been mounted then. */
const settleCreated = async (runtime: Runtime, container: Container): Promise<void> => {
  const { plan, lock } = containerPaths(runtime.config, container.id);
  const [hasPlan, hasLock] = await Promise.all(
    [plan, lock].map(async (path) => (await orMissing(stat(path))) !== undefined),
  );
  if (hasPlan && !hasLock) return;
  await endCgroup(runtime.agent, container.record.cgroups);
  const time = String(now());
  await setState(runtime, container, {
    kind: 'exited',
    startedAt: '0',
    finishedAt: time,
    exitCode: 128,
    reason: 'StartError',
    message: hasPlan
      ? 'berthd ended while the container was being started'
      : 'the machine was restarted before it was started',
  });
};
