import { setTimeout } from 'node:timers/promises';
import { messageOf } from '../../base/errors.ts';
import { connectSupervisor, isOtherVersion, readExit } from '../../shim/supervisor.ts';
import { containerPaths, type Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import { giveUp } from './enter-scope.ts';
import { follow, recordExit } from './exit.ts';
import { setState } from './save.ts';

/**
 * Takes over a container whose supervisor somebody else started: it is running and followed, or its end is recorded.
 * False: its supervisor is dead, which only a free lock proves (lesson A4), and has left no exit record.
 */
export const takeOver = async (runtime: Runtime, container: Container): Promise<boolean> => {
  const { bundle, lock } = containerPaths(runtime.config, container.id);
  const held = async (): Promise<boolean> => !(await runtime.agent.tryLock(lock)).free;
  if ((await held()) && (await adopt(runtime, container, held))) return true;
  const exit = await readExit(bundle);
  if (exit === undefined) return false;
  await recordExit(runtime, container, exit);
  return true;
};

const attempts = 100;
const retryMs = 100;
/** A process that still waits after so many was left by a daemon that died: it is ended, and so is the start. */
const waitingAttempts = 10;

/** Asks the living supervisor, which may still be starting its container. False when it died meanwhile. */
const adopt = async (runtime: Runtime, container: Container, held: () => Promise<boolean>): Promise<boolean> => {
  let problem: Error | undefined;
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const answer = await ask(runtime, container);
    if (answer === 'running') return true;
    problem = answer instanceof Error ? answer : undefined;
    if (isOtherVersion(problem)) break;
    if (answer === 'waiting' && attempt >= waitingAttempts) await giveUp(runtime, container);
    if (!(await held())) return false;
    await setTimeout(retryMs);
  }
  runtime.log.warn(
    { container: container.id, error: problem?.message },
    isOtherVersion(problem)
      ? 'its supervisor is of another release than can be spoken to: it runs on, and its end will be seen'
      : 'its supervisor lives and does not answer: asked again in the background',
  );
  void follow(runtime, container);
  return true;
};

/** Or why there is no answer. */
const ask = async (runtime: Runtime, container: Container): Promise<'running' | 'waiting' | Error> => {
  const isScope = container.record.cgroups.some((directory) => directory.endsWith('.scope'));
  try {
    const supervisor = await connectSupervisor(containerPaths(runtime.config, container.id).bundle);
    const { pid, startedAt, state } = await supervisor.state();
    supervisor.close();
    // Its process waits to be put into a scope: it is not known yet whether anybody does.
    if (state === 'waiting' && isScope) return 'waiting';
    await setState(runtime, container, { kind: 'running', pid, startedAt: String(startedAt) });
  } catch (error) {
    return error instanceof Error ? error : new Error(messageOf(error));
  }
  await follow(runtime, container);
  return 'running';
};
