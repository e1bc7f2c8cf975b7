import { stat } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { messageOf, orMissing } from '../../base/errors.ts';
import { endCgroup } from '../../shim/cgroup.ts';
import { connectSupervisor, type Exit, isOtherVersion, readExit } from '../../shim/supervisor.ts';
import { containerPaths, now, type Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import { forgetScope } from './end-scope.ts';
import { setState } from './save.ts';

/**
 * Follows a running container to its end in the background. Resolves when the supervisor's socket is connected, or the
 * end is recorded; it never rejects.
 */
export const follow = (runtime: Runtime, container: Container): Promise<void> => {
  const connected = Promise.withResolvers<void>();
  void watch(runtime, container, connected.resolve)
    .catch((error: unknown) =>
      runtime.log.error(
        { container: container.id, error: messageOf(error) },
        'the end of a container was not recorded',
      ),
    )
    .finally(connected.resolve);
  return connected.promise;
};

/** A broken connection proves nothing (lesson A4): only a free lock tells that the supervisor is dead. */
const watch = async (runtime: Runtime, container: Container, connected: () => void): Promise<void> => {
  const { bundle, lock } = containerPaths(runtime.config, container.id);
  for (;;) {
    const exit = await waitOnce(runtime, container, connected);
    if (runtime.stopping.aborted) return;
    if (typeof exit === 'object') return recordExit(runtime, container, exit);
    if (await isFree(runtime, lock)) break;
    await setTimeout(exit === 'other-version' ? otherVersionMs : retryMs);
  }
  const exit = await readExit(bundle);
  await (exit === undefined ? recordLoss(runtime, container) : recordExit(runtime, container, exit));
};

const retryMs = 100;
/** Nothing but the end is to be seen. */
const otherVersionMs = 1000;

/** While no agent is there to ask, nothing is proved. */
const isFree = async (runtime: Runtime, lock: string): Promise<boolean> => {
  try {
    return (await runtime.agent.tryLock(lock)).free;
  } catch (error) {
    runtime.log.debug({ lock, error: messageOf(error) }, 'a lock was not asked for');
    return false;
  }
};

/** Undefined: nobody answers, or the daemon stops. */
const waitOnce = async (
  runtime: Runtime,
  container: Container,
  connected: () => void,
): Promise<Exit | 'other-version' | undefined> => {
  try {
    const supervisor = await connectSupervisor(containerPaths(runtime.config, container.id).bundle);
    container.supervisor = supervisor;
    connected();
    return runtime.stopping.aborted ? undefined : await supervisor.wait();
  } catch (error) {
    return isOtherVersion(error) ? 'other-version' : undefined;
  } finally {
    container.supervisor?.close();
    container.supervisor = undefined;
  }
};

/** The supervisor is dead and has left no exit record: what it held is killed, and the container ended with 137. */
export const recordLoss = async (runtime: Runtime, container: Container): Promise<void> => {
  runtime.log.error({ container: container.id }, 'supervisor died: its container is killed');
  runtime.metrics.supervisorDeaths.inc();
  await endCgroup(runtime.agent, container.record.cgroups);
  await setState(runtime, container, {
    kind: 'exited',
    startedAt: await startedAt(runtime, container),
    finishedAt: String(now()),
    exitCode: 137,
    reason: 'Error',
    message: 'supervisor died',
  });
  await forgetScope(runtime, container.record.cgroups);
};

export const recordExit = async (runtime: Runtime, container: Container, exit: Exit): Promise<void> => {
  const exitCode = exit.code;
  if (exit.oomKilled) runtime.metrics.oomKills.inc();
  await setState(runtime, container, {
    kind: 'exited',
    startedAt: await startedAt(runtime, container),
    finishedAt: String(exit.finishedAt),
    exitCode,
    reason: reasonOf(exit.oomKilled, exitCode),
    message: '',
  });
  runtime.log.info({ container: container.id, exitCode, signal: exit.signal, oom: exit.oomKilled }, 'container ended');
};

/**
 * The words that kubelet knows: exactly `OOMKilled`, `Completed`, `Error`. The kernel counts each of the container's processes
 * that it killed; the container itself was ended by that only when its main process was killed, or hands on a child's end.
 */
const reasonOf = (oomKilled: boolean, exitCode: number): string => {
  if (oomKilled && exitCode === 137) return 'OOMKilled';
  return exitCode === 0 ? 'Completed' : 'Error';
};

/** Before the start was recorded it is when the supervisor took its lock. */
const startedAt = async (runtime: Runtime, { id, record }: Container): Promise<string> => {
  if (record.state.kind !== 'created') return record.state.startedAt;
  const taken = await orMissing(stat(containerPaths(runtime.config, id).lock, { bigint: true }));
  return taken === undefined ? record.createdAt : String(taken.mtimeNs);
};
