import { readFile } from 'node:fs/promises';
import { BerthError, orMissing } from '../../base/errors.ts';
import { limitsPlan } from '../../shim/plan.ts';
import type { StartReport } from '../../shim/supervise.ts';
import { connectSupervisor } from '../../shim/supervisor.ts';
import { containerCgroup } from '../cgroup/container.ts';
import { type CgroupPlace, placeOf } from '../cgroup/place.ts';
import { scopeProperties } from '../cgroup/properties.ts';
import { containerPaths, type Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import { endScope } from './end-scope.ts';
import { readSpec } from './limits.ts';
import { stopSeconds } from './stop-seconds.ts';

type Started = Pick<StartReport, 'pid' | 'startedAt'>;
type Scope = Required<CgroupPlace>;

const SIGKILL = 9;
/** What a killed supervisor may take to undo its start. */
const endMs = 5000;

/**
 * The second half of a start with systemd: the container's process waits, is put into a scope of its own, gets its limits, and goes
 * on. Where its cgroup is a directory of ours it runs already. When this fails nothing of the start is left.
 */
export const enterScope = async (runtime: Runtime, container: Container, report: Started): Promise<Started> => {
  const { linux } = await readSpec(runtime, container);
  const place = placeOf(linux.cgroupsPath);
  if (place.units === undefined) return report;
  const supervisor = await connectSupervisor(containerPaths(runtime.config, container.id).bundle);
  try {
    const cgroup = containerCgroup(runtime.cgroups, linux.cgroupsPath, linux.resources);
    await makeScope(runtime, container, { ...place, units: place.units }, report.pid, cgroup.writes);
    await supervisor.update(limitsPlan(cgroup).encode());
    return await supervisor.go();
  } catch (error) {
    await giveUp(runtime, container);
    throw error;
  } finally {
    supervisor.close();
  }
};

const makeScope = async (
  runtime: Runtime,
  container: Container,
  { path, units }: Scope,
  pid: number,
  writes: ReturnType<typeof containerCgroup>['writes'],
): Promise<void> => {
  const { config, record } = container;
  const place = async (): Promise<string | undefined> =>
    /^0::(.*)$/m.exec((await orMissing(readFile(`/proc/${pid}/cgroup`, 'utf8'))) ?? '')?.[1];
  const properties = scopeProperties({
    description: `Berth container ${config.metadata?.name ?? ''} ${container.id.slice(0, 12)}`,
    slice: units.slice,
    pid,
    after: runtime.driver.ownUnit,
    stopSignal: record.stopSignal,
    stopSeconds: stopSeconds(runtime, config),
    writes,
  });
  await runtime.driver.systemd.startScope(units.scope, properties, async () => (await place()) === path);
  const found = await place();
  if (found !== path)
    throw new BerthError('internal', `systemd: ${units.scope} is at ${found ?? 'no place'} instead of ${path}`);
};

/** The supervisor undoes a start whose process dies. One that does not answer is killed as well. */
export const giveUp = async (runtime: Runtime, container: Container): Promise<void> => {
  const { bundle, lock } = containerPaths(runtime.config, container.id);
  const supervisor = await connectSupervisor(bundle).catch(() => undefined);
  await supervisor?.kill(SIGKILL, 'main').catch(() => undefined);
  supervisor?.close();
  await runtime.agent.endHolder(lock, endMs);
  await endScope(runtime, container.record.cgroups);
};
