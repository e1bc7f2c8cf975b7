import type { AttachRequest, AttachResponse } from '../../api/generated/types.ts';
import { openAttach, type ProcessStreams, type WantedStreams } from '../../shim/streams.ts';
import { containerPaths, type Runtime } from '../runtime.ts';
import { orEnded } from './ended.ts';
import { checkStreams, runningContainer } from './running.ts';

/** Where a client can join the streams of the main process, once and soon. Output from before it came is in the log. */
export const attachToContainer = (runtime: Runtime, request: AttachRequest): AttachResponse => {
  const { container_id, tty, stdin, stdout, stderr } = request;
  const wanted = { tty, stdin, stdout, stderr };
  checkStreams(`attach to container ${container_id}`, wanted);
  const { id } = runningContainer(runtime, container_id, 'attach to');
  const open = (signal: AbortSignal): Promise<ProcessStreams> => join(runtime, id, { ...wanted, signal });
  return { url: runtime.streaming.urlOf({ kind: 'attach', wanted, open }) };
};

const join = async (runtime: Runtime, id: string, wanted: WantedStreams): Promise<ProcessStreams> => {
  const container = runningContainer(runtime, id, 'attach to');
  return orEnded(container, 'attach to', openAttach(containerPaths(runtime.config, id).bundle, wanted), wanted);
};
