import { readFile } from 'node:fs/promises';
import { BerthError, codeOf } from '../../base/errors.ts';
import { readJson, removeTree, writeVolatile } from '../../base/files.ts';
import type { OciResources, OciSpec } from '../../shim/oci.ts';
import { withLimits, writesPlan } from '../../shim/plan.ts';
import { containerCgroup } from '../cgroup/container.ts';
import { placeOf } from '../cgroup/place.ts';
import { notUndone, type Undo } from '../cgroup/update.ts';
import type { CgroupWrite } from '../cgroup/write.ts';
import { containerPaths, type Runtime } from '../runtime.ts';
import type { Container, ContainerRecord } from '../state/container.ts';
import { forgetBase } from './exec-plan.ts';
import { changeOomScore } from './oom-score.ts';
import { lostWrites, tellSystemd } from './scope-limits.ts';

/** What of a container's spec an update can change. */
export interface Limits {
  readonly resources: OciResources;
  readonly oomScoreAdj?: number;
}

/** `update` in the bundle while one is under way: the record tells whether it was done or not. */
export interface Pending {
  readonly id: string;
  readonly before: Limits;
  readonly after: Limits;
  readonly undo: readonly Undo[];
  /** The unit that systemd has for the container. */
  readonly scope?: string;
  readonly inForce: NonNullable<ContainerRecord['resources']>;
}

export const readSpec = async (runtime: Runtime, { id }: Container): Promise<OciSpec> => {
  const { spec: path } = containerPaths(runtime.config, id);
  const spec = (await readJson(path)) as OciSpec | undefined;
  if (spec === undefined) throw new BerthError('data-loss', `${path} is missing`);
  return spec;
};

/** The limits in config.json, and in the plan of a container that is still to be started. */
export const writeLimits = async (
  runtime: Runtime,
  container: Container,
  { resources, oomScoreAdj }: Limits,
): Promise<void> => {
  const paths = containerPaths(runtime.config, container.id);
  const { linux, process, ...rest } = await readSpec(runtime, container);
  const score = oomScoreAdj === undefined ? {} : { oomScoreAdj };
  const spec: OciSpec = { ...rest, process: { ...process, ...score }, linux: { ...linux, resources } };
  await writeVolatile(paths.spec, JSON.stringify(spec));
  forgetBase(container);
  if (container.record.state.kind !== 'created') return;
  const cgroup = containerCgroup(runtime.cgroups, linux.cgroupsPath, resources);
  // Those of a scope are not in the plan: it is made when the process waits.
  const writes = placeOf(linux.cgroupsPath).units === undefined ? cgroup.writes : [];
  await writeVolatile(paths.plan, withLimits(await readFile(paths.plan), { writes, ...score }));
};

export const noSupervisor = (): BerthError =>
  new BerthError('unavailable', 'its supervisor does not answer: try again');

/** Into the cgroup's files, by the supervisor: one message, so that it is done whole also when this daemon dies. */
export const applyWrites = async (container: Container, writes: readonly CgroupWrite[]): Promise<void> => {
  if (writes.length === 0) return;
  if (container.supervisor === undefined) throw noSupervisor();
  await container.supervisor.update(writesPlan(writes).encode());
};

/** First to systemd, which writes what it keeps into the files; then the files, where its values were rounded or its own. */
export const applyLimits = async (
  runtime: Runtime,
  container: Container,
  { scope, after }: Pending,
  writes: readonly CgroupWrite[],
): Promise<void> => {
  const told = await tellSystemd(runtime, container.id, scope, writes);
  await applyWrites(container, told ? [...writes, ...lostWrites(runtime, container, after.resources)] : writes);
};

export const applyScore = (runtime: Runtime, container: Container, from: Limits, to: Limits): Promise<void> => {
  const own = runtime.host.oomScoreAdj;
  return changeOomScore(container, from.oomScoreAdj ?? own, to.oomScoreAdj ?? own);
};

/** One by one: what was never written may be refused, as long as the file holds what it held. */
const undoWrites = async (container: Container, undo: readonly Undo[]): Promise<void> => {
  const refused: Undo[] = [];
  for (const write of undo)
    await applyWrites(container, [write]).catch((error: unknown) => {
      if (codeOf(error) === 'unavailable' && container.supervisor === undefined) throw error;
      refused.push(write);
    });
  const [wrong] = notUndone(refused);
  if (wrong !== undefined) throw new BerthError('internal', `${wrong.file} does not take back ${wrong.value}`);
};

/** Puts the limits back as they were before; a container that has ended has none. */
export const undoUpdate = async (runtime: Runtime, container: Container, pending: Pending): Promise<void> => {
  if (container.record.state.kind === 'running') {
    const told = await tellSystemd(runtime, container.id, pending.scope, pending.undo);
    await undoWrites(container, pending.undo);
    if (told) await applyWrites(container, lostWrites(runtime, container, pending.before.resources));
    await applyScore(runtime, container, pending.after, pending.before);
  }
  if (container.record.state.kind !== 'exited') await writeLimits(runtime, container, pending.before);
};

/** Ends an update that a daemon has left half done: it was done when the record says so. The caller holds the lock. */
export const settleUpdate = async (runtime: Runtime, container: Container): Promise<void> => {
  const { update } = containerPaths(runtime.config, container.id);
  const pending = (await readJson(update)) as Pending | undefined;
  if (pending === undefined) return;
  const done = container.record.updated === pending.id;
  if (!done) await undoUpdate(runtime, container, pending);
  else if (container.record.state.kind !== 'exited') await writeLimits(runtime, container, pending.after);
  await removeTree(update);
};
