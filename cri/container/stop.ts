import type { StopContainerRequest } from '../../api/generated/types.ts';
import { BerthError, invalid } from '../../base/errors.ts';
import { endCgroup } from '../../shim/cgroup.ts';
import { containerPaths, type Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import { endedWithin } from './ended.ts';

const SIGKILL = 9;
/** How long a supervisor may take to kill its container. */
const answerSeconds = 10;
/** Without a connection it may just have ended, and its end is being recorded. */
const lostSeconds = 1;
/** How long the kernel may take to end a killed cgroup before the caller is told. */
const killSeconds = 60;

/** The stop signal, then after `timeout` seconds SIGKILL to all of the container. Idempotent. */
export const stopContainer = async (
  runtime: Runtime,
  request: StopContainerRequest,
  call: { readonly signal: AbortSignal },
): Promise<object> => {
  if (request.timeout < 0n) throw invalid(`StopContainer: timeout is ${request.timeout}: it must not be negative`);
  const container = runtime.containers.find(request.container_id);
  if (container?.record.state.kind === 'created') await startEnded(runtime, container, call.signal);
  if (container?.record.state.kind !== 'running') return {};
  if (request.timeout > 0n) await ask(container, Number(request.timeout), call.signal);
  await killContainer(runtime, container);
  return {};
};

/** A start in flight ends first: a container that is told to stop must not run afterwards. */
const startEnded = async (runtime: Runtime, container: Container, signal: AbortSignal): Promise<void> => {
  const gone = Promise.withResolvers<never>();
  const leave = (): void =>
    gone.reject(new BerthError('cancelled', `stop container ${container.id}: the caller went while it was starting`));
  signal.addEventListener('abort', leave, { once: true });
  if (signal.aborted) leave();
  try {
    await Promise.race([runtime.locks.run(container.id, async () => undefined), gone.promise]);
  } finally {
    signal.removeEventListener('abort', leave);
  }
};

/** Sends the stop signal and waits for the end, for the grace period or until the caller goes. */
const ask = async (container: Container, seconds: number, signal: AbortSignal): Promise<void> => {
  tell(container);
  await endedWithin(container, seconds, signal);
  if (signal.aborted && container.record.state.kind === 'running')
    throw new BerthError('cancelled', `stop container ${container.id}: the caller went before it had ended`);
};

/** Those that have their stop signal. */
const told = new WeakSet<Container>();

/**
 * Once: many programs take the second signal for an order to leave at once, and kubelet asks again after its own restart, a
 * time-out, or with a shorter grace period.
 */
const tell = (container: Container): void => {
  const { supervisor } = container;
  if (supervisor === undefined || told.has(container)) return;
  told.add(container);
  // A supervisor that does not answer must not hold up the end of the grace period.
  void supervisor.kill(container.record.stopSignal, 'main').catch(() => told.delete(container));
};

/** SIGKILL to everything in the container's cgroup, then its end. Nothing to do when it does not run. */
export const killContainer = async (runtime: Runtime, container: Container): Promise<void> => {
  if (container.record.state.kind !== 'running') return;
  const asked = container.supervisor?.kill(SIGKILL, 'all').catch(() => undefined);
  if (await endedWithin(container, asked === undefined ? lostSeconds : answerSeconds)) return;
  await killWithSupervisor(runtime, container);
  if (!(await endedWithin(container, killSeconds)))
    throw new BerthError('deadline-exceeded', `kill container ${container.id}: still there after ${killSeconds} s`);
};

/** For a supervisor that does not answer: the cgroup goes without it, and then it itself; whoever follows sees the end, and ends its scope. */
const killWithSupervisor = async (runtime: Runtime, container: Container): Promise<void> => {
  runtime.log.warn({ container: container.id }, 'its supervisor does not answer: killed together with the container');
  await endCgroup(runtime.agent, container.record.cgroups);
  await runtime.agent.endHolder(containerPaths(runtime.config, container.id).lock, 0);
};
