import type { ExecRequest, ExecResponse } from '../../api/generated/types.ts';
import { invalid } from '../../base/errors.ts';
import { openExec, type ProcessStreams, type WantedStreams } from '../../shim/streams.ts';
import { containerPaths, type Runtime } from '../runtime.ts';
import { orEnded } from './ended.ts';
import { execPlan } from './exec-plan.ts';
import { checkStreams, runningContainer } from './running.ts';

/** Where a client can run the command, once and soon. It runs when the client has come. */
export const execInContainer = (runtime: Runtime, request: ExecRequest): ExecResponse => {
  const { container_id, cmd, tty, stdin, stdout, stderr } = request;
  const wanted = { tty, stdin, stdout, stderr };
  if (cmd.length === 0) throw invalid(`exec in container ${container_id}: cmd is empty`);
  checkStreams(`exec in container ${container_id}`, wanted);
  const { id } = runningContainer(runtime, container_id, 'exec in');
  const open = (signal: AbortSignal): Promise<ProcessStreams> => start(runtime, id, cmd, { ...wanted, signal });
  return { url: runtime.streaming.urlOf({ kind: 'exec', wanted, open }) };
};

const start = async (
  runtime: Runtime,
  id: string,
  command: readonly string[],
  wanted: WantedStreams,
): Promise<ProcessStreams> => {
  const container = runningContainer(runtime, id, 'exec in');
  const plan = await execPlan(runtime, container, command, wanted.tty);
  return orEnded(container, 'exec in', openExec(containerPaths(runtime.config, id).bundle, plan, wanted), wanted);
};
