import type { CopyRequest, CopyResponse } from '../../api/generated/types.ts';
import { invalid } from '../../base/errors.ts';
import { compileCopy } from '../../shim/compile-copy.ts';
import { openExec, type ProcessStreams, type WantedStreams } from '../../shim/streams.ts';
import { userNamespaceOf } from '../../shim/user-namespace.ts';
import { joinCgroup } from '../container/cgroup.ts';
import { orEnded } from '../container/ended.ts';
import { specOfRunning } from '../container/exec-plan.ts';
import { runningContainer } from '../container/running.ts';
import { containerPaths, type Runtime } from '../runtime.ts';

/** Where a client gets a tree of a running container as a tar stream, or brings one, once and soon. */
export const adminCopy = (runtime: Runtime, { container_id, path, direction }: CopyRequest): CopyResponse => {
  if (!path.startsWith('/'))
    throw invalid(`copy in container ${container_id}: path ${JSON.stringify(path)} is not absolute`);
  const isIn = direction === 'COPY_IN';
  const { id } = runningContainer(runtime, container_id, 'copy in');
  const wanted = { tty: false, stdin: isIn, stdout: !isIn, stderr: true };
  const open = (signal: AbortSignal): Promise<ProcessStreams> =>
    start(runtime, id, path, isIn ? 'in' : 'out', { ...wanted, signal });
  return { url: runtime.streaming.urlOf({ kind: 'exec', wanted, open }) };
};

const start = async (
  runtime: Runtime,
  id: string,
  path: string,
  direction: 'in' | 'out',
  wanted: WantedStreams,
): Promise<ProcessStreams> => {
  const container = runningContainer(runtime, id, 'copy in');
  const spec = await specOfRunning(runtime, container);
  const { join, into } = joinCgroup(runtime.cgroups, spec.linux.cgroupsPath, runtime.agent.features);
  const user = userNamespaceOf(spec);
  const plan = compileCopy({ direction, path, user, join, ...(into === undefined ? {} : { into }) });
  return orEnded(container, 'copy in', openExec(containerPaths(runtime.config, id).bundle, plan, wanted), wanted);
};
