import type { LinuxContainerResources } from '../../api/generated/types.ts';
import { fromJson, toJson } from '../../api/json.ts';
import { newId } from '../../base/digest.ts';
import { BerthError, codeOf, type ErrorCode, errnoOf, messageOf } from '../../base/errors.ts';
import type { OciBlockIo } from '../../shim/oci.ts';
import { containerCgroup } from '../cgroup/container.ts';
import { fieldOf } from '../cgroup/field.ts';
import { tooLow } from '../cgroup/memory.ts';
import { countedBy } from '../cgroup/mode.ts';
import { placeOf } from '../cgroup/place.ts';
import { type Change, limitChange } from '../cgroup/update.ts';
import type { Runtime } from '../runtime.ts';
import { updatedBlockIo } from '../spec/block-io.ts';
import { checkTwice, containerResources, oomScoreAdj } from '../spec/resources.ts';
import { changedResources, resourcesInForce, updatedResources } from '../spec/resources-update.ts';
import type { Container } from '../state/container.ts';
import { type Limits, type Pending, readSpec } from './limits.ts';
import { resourcesOf } from './status.ts';

/** One update, worked out. */
export interface Wanted {
  /** The container's, below each hierarchy's mount. */
  readonly path: string;
  readonly change: Change;
  readonly pending: Pending;
}

/** Everything that can be refused is refused here, before anything is written. */
export const planUpdate = async (
  runtime: Runtime,
  container: Container,
  request: LinuxContainerResources,
  given: OciBlockIo | undefined,
): Promise<Wanted> => {
  const { linux, process } = await readSpec(runtime, container);
  const { resources: now, cgroupsPath } = linux;
  const { path, units } = placeOf(cgroupsPath);
  checkTwice(request);
  const merged = updatedResources(resourcesOf(container) ?? fromJson('LinuxContainerResources', {}), request);
  const blockIO = updatedBlockIo(now.blockIO, given);
  const resources = containerResources(merged, now.devices, { pids: now.pids?.limit, blockIO });
  const score =
    request.oom_score_adj === 0n ? process.oomScoreAdj : oomScoreAdj(request, runtime.host.lowestOomScoreAdj);
  const changed = { ...changedResources(resources, request), ...(given && { blockIO: given }) };
  // Checked as at a start, what the machine lacks and what is not within the parent; what stays may have lost its place since.
  containerCgroup(runtime.cgroups, cgroupsPath, changed);
  const runs = container.record.state.kind === 'running';
  const change = runs ? limitChange(runtime.cgroups, path, changed) : { writes: [], undo: [] };
  const before: Limits = {
    resources: now,
    ...(process.oomScoreAdj === undefined ? {} : { oomScoreAdj: process.oomScoreAdj }),
  };
  const after: Limits = { resources, ...(score === undefined ? {} : { oomScoreAdj: score }) };
  const inForce = toJson('LinuxContainerResources', resourcesInForce(resources, score, countedBy(runtime.cgroups)));
  const pending = { id: newId(), before, after, undo: change.undo, inForce, ...(units && { scope: units.scope }) };
  return { path, change, pending };
};

const codes: Readonly<Record<string, ErrorCode>> = {
  EACCES: 'failed-precondition',
  EPERM: 'failed-precondition',
  ENOENT: 'failed-precondition',
  ERANGE: 'invalid-argument',
};

/** In the words of the request, where the kernel's refusal has one meaning. */
export const explained = (runtime: Runtime, path: string, change: Change, error: unknown): unknown => {
  const errno = (error instanceof BerthError && errnoOf(error.cause)) || '';
  const message = messageOf(error);
  const file = change.writes.find((write) => message.includes(`${write.file}:`))?.file;
  if (file === undefined) return error;
  const field = fieldOf(file);
  if (errno === 'EBUSY' && field.startsWith('memory')) return tooLow(runtime.cgroups, path, change.writes);
  return new BerthError(codes[errno] ?? codeOf(error), `${field}: ${message}`, { cause: error });
};
