import type { StartContainerRequest } from '../../api/generated/types.ts';
import { BerthError, codeOf, messageOf, within } from '../../base/errors.ts';
import { execErrno } from '../../shim/native-error.ts';
import { refusedLimit } from '../cgroup/field.ts';
import { containerPaths, now, type Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import { enterScope } from './enter-scope.ts';
import { follow } from './exit.ts';
import { setState } from './save.ts';
import { takeOver } from './take-over.ts';
import { checkTarget } from './target.ts';

/**
 * Starts a created container. One that could not start has ended with 128 and the reason StartError; with 127 or 126 and
 * ContainerCannotRun when it is the command that is not there or cannot be executed.
 */
export const startContainer = async (runtime: Runtime, request: StartContainerRequest): Promise<object> => {
  const container = runtime.containers.get(request.container_id);
  await runtime.locks.run(container.id, () => start(runtime, container));
  return {};
};

const start = async (runtime: Runtime, container: Container): Promise<void> => {
  checkStartable(runtime, container);
  await checkTarget(runtime, container);
  const { bundle } = containerPaths(runtime.config, container.id);
  const report = await runtime.agent
    .supervise(bundle, { cgroupProcs: runtime.supervisorsCgroup })
    .catch((error: unknown) => afterFailure(runtime, container, error));
  if (report === undefined) return;
  const { pid, startedAt } = await enterScope(runtime, container, report).catch((error: unknown) =>
    failed(runtime, container, error),
  );
  await setState(runtime, container, { kind: 'running', pid, startedAt: String(startedAt) });
  runtime.cpuSampler.born(container);
  await follow(runtime, container);
};

/** Undefined when the container runs all the same: a lost agent proves nothing about a supervisor that outlives it. */
const afterFailure = async (runtime: Runtime, container: Container, error: unknown): Promise<undefined> => {
  const isLost = ['unavailable', 'deadline-exceeded'].includes(codeOf(error));
  if (isLost && (await takeOver(runtime, container))) return undefined;
  return failed(runtime, container, error);
};

const checkStartable = (runtime: Runtime, container: Container): void => {
  const { kind } = container.record.state;
  if (kind !== 'created')
    throw new BerthError(
      'failed-precondition',
      `start container ${container.id}: it is ${kind}, only a created one can start`,
    );
  const sandbox = runtime.sandboxes.get(container.record.sandboxId);
  if (sandbox.record.state !== 'ready')
    throw new BerthError(
      'failed-precondition',
      `start container ${container.id}: its sandbox ${sandbox.id} is not ready`,
    );
};

const failed = async (runtime: Runtime, container: Container, cause: unknown): Promise<never> => {
  const error = refusedLimit(container.id, cause);
  const message = messageOf(error);
  await setState(runtime, container, {
    kind: 'exited',
    startedAt: '0', // it never did; the kubelet counts its back-off from the end
    finishedAt: String(now()),
    ...endOf(execErrno(error)),
    message,
  });
  throw within(`container ${container.id}`, error);
};

/** As shells and Docker have it: 127 for no such command, 126 for one that is no program or may not be executed. */
const endOf = (errno: string | undefined): { readonly exitCode: number; readonly reason: string } => {
  if (errno === 'ENOENT' || errno === 'ENOTDIR') return { exitCode: 127, reason: 'ContainerCannotRun' };
  const cannot = errno !== undefined && ['EACCES', 'EPERM', 'EISDIR', 'ENOEXEC', 'ELOOP'].includes(errno);
  return cannot ? { exitCode: 126, reason: 'ContainerCannotRun' } : { exitCode: 128, reason: 'StartError' };
};
