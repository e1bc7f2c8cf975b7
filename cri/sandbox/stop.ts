import type { StopPodSandboxRequest } from '../../api/generated/types.ts';
import { removeNamespaces } from '../../shim/sandbox.ts';
import { killContainer } from '../container/stop.ts';
import { tellSandbox } from '../events/get-container-events.ts';
import { containersOf, type Runtime, sandboxPaths } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { endMaker } from './end-maker.ts';
import { networkSandbox } from './network.ts';
import { setRecord } from './save.ts';

/** Kills what runs in it and gives back its network. Idempotent; a sandbox that is not there is stopped. */
export const stopPodSandbox = async (runtime: Runtime, request: StopPodSandboxRequest): Promise<object> => {
  const sandbox = runtime.sandboxes.find(request.pod_sandbox_id);
  if (sandbox !== undefined) await runtime.locks.run(sandbox.id, () => stopSandbox(runtime, sandbox));
  return {};
};

/** The caller holds the sandbox's lock. */
export const stopSandbox = async (runtime: Runtime, sandbox: Sandbox): Promise<void> => {
  if (sandbox.record.state === 'ready') await setRecord(runtime, sandbox, { state: 'stopping' });
  await Promise.all(containersOf(runtime, sandbox.id).map((container) => endContainer(runtime, container)));
  if (sandbox.record.state === 'stopped') return;
  await releaseSandbox(runtime, sandbox);
  await setRecord(runtime, sandbox, { state: 'stopped' });
  tellSandbox(runtime, sandbox, 'stopped');
};

/** In its turn: a start that is under way ends first, and none begins in a sandbox that is not ready. */
const endContainer = (runtime: Runtime, container: Container): Promise<void> =>
  runtime.locks.run(container.id, () => killContainer(runtime, container));

/** Every place where a namespace of the sandbox may be pinned; removing what is not there is no error. */
export const allPins = (runtime: Runtime, sandbox: Sandbox) => {
  const { user, ipc, uts, shm, pid } = sandboxPaths(runtime.config, sandbox.id);
  const net = sandbox.record.netns === '' ? {} : { net: sandbox.record.netns };
  return { user: { path: user }, ...net, ipc, uts, pid, shm: { path: shm, size: 0 } };
};

/** Network first: CNI's DEL wants the namespace that it made its interfaces in. */
export const releaseSandbox = async (runtime: Runtime, sandbox: Sandbox): Promise<void> => {
  await endMaker(runtime, sandbox);
  if (sandbox.record.netns !== '') await runtime.network.teardown(networkSandbox(runtime, sandbox));
  await removeNamespaces(runtime.agent, allPins(runtime, sandbox));
};
