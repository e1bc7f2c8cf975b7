import { stat } from 'node:fs/promises';
import { messageOf, orMissing } from '../../base/errors.ts';
import { removeTree } from '../../base/files.ts';
import { livingNetns } from '../network/chain.ts';
import { type Runtime, sandboxPaths } from '../runtime.ts';
import { setRecord } from '../sandbox/save.ts';
import { releaseSandbox, stopSandbox } from '../sandbox/stop.ts';
import type { Sandbox } from '../state/sandbox.ts';

/** A sandbox that was being made: nobody has its id, so it goes. What cannot be undone now is left for kubelet to remove. */
export const undoSandbox = async (runtime: Runtime, sandbox: Sandbox): Promise<void> => {
  try {
    await releaseSandbox(runtime, sandbox);
    await removeTree(sandboxPaths(runtime.config, sandbox.id).directory);
    await runtime.sandboxStore.remove(sandbox.id);
  } catch (error) {
    runtime.log.error(
      { sandbox: sandbox.id, error: messageOf(error) },
      'undo of a half made pod sandbox failed: shown as not ready',
    );
    await setRecord(runtime, sandbox, { state: 'stopping' });
    runtime.sandboxes.add(sandbox);
  }
};

/** Ends what was being stopped; a ready sandbox whose namespaces are gone (the machine was restarted) is stopped. */
export const recoverSandbox = async (runtime: Runtime, sandbox: Sandbox): Promise<void> => {
  const { state } = sandbox.record;
  if (state === 'stopped') return;
  if (state === 'ready' && (await isWhole(runtime, sandbox))) return;
  if (state === 'ready')
    runtime.log.warn(
      { sandbox: sandbox.id, netns: sandbox.record.netns },
      'the namespaces of a pod are gone: it is ended',
    );
  await stopSandbox(runtime, sandbox);
};

const isWhole = async (runtime: Runtime, sandbox: Sandbox): Promise<boolean> => {
  const { directory } = sandboxPaths(runtime.config, sandbox.id);
  if ((await orMissing(stat(directory))) === undefined) return false;
  const { netns } = sandbox.record;
  return netns === '' || (await livingNetns(netns)) !== '';
};
