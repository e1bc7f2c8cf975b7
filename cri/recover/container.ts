import { stat } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { orMissing } from '../../base/errors.ts';
import { endCgroup } from '../../shim/cgroup.ts';
import { connectSupervisor, readExit } from '../../shim/supervisor.ts';
import { follow, recordExit, recordLoss } from '../container/exit.ts';
import { removeOne } from '../container/remove.ts';
import { setState, stateOnDisk } from '../container/save.ts';
import { containerPaths, now, type Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';

/** What became of one container while no daemon was there. Only a free lock proves that its supervisor is dead. */
export const recoverContainer = async (runtime: Runtime, container: Container): Promise<void> => {
  await settle(runtime, container);
  if (runtime.sandboxes.find(container.record.sandboxId) === undefined) await removeOne(runtime, container);
};

const settle = async (runtime: Runtime, container: Container): Promise<void> => {
  container.record = { ...container.record, state: await stateOnDisk(runtime, container) };
  if (container.record.state.kind === 'exited') return;
  const { bundle, lock } = containerPaths(runtime.config, container.id);
  const held = async (): Promise<boolean> => !(await runtime.agent.tryLock(lock)).free;
  if ((await held()) && (await adopt(runtime, container, held))) return;
  const exit = await readExit(bundle);
  if (exit !== undefined) return recordExit(runtime, container, exit);
  if (container.record.state.kind === 'running') return recordLoss(runtime, container);
  await settleCreated(runtime, container);
};

const attempts = 100;
const retryMs = 100;

/** Asks the living supervisor, which may still be starting its container. False when it died meanwhile. */
const adopt = async (runtime: Runtime, container: Container, held: () => Promise<boolean>): Promise<boolean> => {
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    if (await ask(runtime, container)) return true;
    if (!(await held())) return false;
    await setTimeout(retryMs);
  }
  runtime.log.warn(
    { container: container.id },
    'its supervisor lives and does not answer: asked again in the background',
  );
  void follow(runtime, container);
  return true;
};

const ask = async (runtime: Runtime, container: Container): Promise<boolean> => {
  try {
    const supervisor = await connectSupervisor(containerPaths(runtime.config, container.id).bundle);
    const { pid, startedAt } = await supervisor.state();
    supervisor.close();
    await setState(runtime, container, { kind: 'running', pid, startedAt: String(startedAt) });
  } catch {
    return false;
  }
  await follow(runtime, container);
  return true;
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
