import { watch } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf, messageOf } from '../../base/errors.ts';
import { systemdSocket } from '../cgroup/systemd.ts';
import type { LiveRuntime } from '../live.ts';
import type { Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import { blockIoNames } from './block-io.ts';
import { scopeOf } from './end-scope.ts';
import { applyWrites, readSpec } from './limits.ts';
import { lostWrites } from './scope-limits.ts';
import { resourcesOf } from './status.ts';

/** One reload removes and makes several of its directories. */
const settleMs = 200;
/** What generators make is made anew at each reload, and its socket when it executes itself anew. */
const tells = /^(?:generator|private)/;

/**
 * systemd up to a version between 252 and 257 writes the files of all units after `daemon-reload` and `daemon-reexec`, and with that its
 * own values where it has no word for ours: they are written again, now and whenever that happens. Nothing on cgroup v1.
 */
export const keepLimits = (live: LiveRuntime): void => {
  const { cgroups, log } = live.runtime;
  if (cgroups.unified === undefined) return;
  let last = Promise.resolve();
  const put = (): void => {
    last = last
      .then(() => putBack(live.runtime))
      .catch((error: unknown) =>
        log.warn({ error: messageOf(error) }, 'limits that systemd does not keep may have been lost'),
      );
  };
  watchReloads(live.runtime, put);
  put();
};

const watchReloads = ({ log, stopping: signal }: Runtime, put: () => void): void => {
  const directory = dirname(systemdSocket);
  let due = false;
  const hear = async (name: string | null): Promise<void> => {
    if (due || !tells.test(name ?? '')) return;
    due = true;
    await delay(settleMs, undefined, { ref: false });
    due = false;
    if (!signal.aborted) put();
  };
  try {
    const watcher = watch(directory, { persistent: false, signal }, (_, name) => void hear(name));
    watcher.on('error', (error) => log.warn({ directory, error: messageOf(error) }, 'reloads of systemd are not seen'));
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') log.debug({ directory }, 'there is no systemd here whose reloads could be seen');
    else log.warn({ directory, error: messageOf(error) }, 'reloads of systemd are not seen');
  }
};

/** By what is in memory; most containers have nothing that systemd would not keep. One that was created may be starting. */
const mayLose = (runtime: Runtime, container: Container): boolean => {
  if (container.record.state.kind === 'exited' || scopeOf(container.record.cgroups) === undefined) return false;
  const { unified = {}, cpu_quota: quota = 0n } = resourcesOf(container) ?? {};
  return quota > 0n || Object.keys(unified).length > 0 || blockIoNames(runtime).weight !== '';
};

const putBack = async (runtime: Runtime): Promise<void> => {
  const found = (): Container[] => runtime.containers.values().filter((container) => mayLose(runtime, container));
  if (found().length === 0) return;
  await runtime.driver.systemd.settled();
  await Promise.all(found().map((container) => runtime.locks.run(container.id, () => putOne(runtime, container))));
};

const runsNot = ({ record }: Container): boolean => record.state.kind !== 'running';

const putOne = async (runtime: Runtime, container: Container): Promise<void> => {
  try {
    if (runsNot(container) || container.supervisor === undefined) return;
    const { linux } = await readSpec(runtime, container);
    await applyWrites(container, lostWrites(runtime, container, linux.resources));
  } catch (error) {
    const level = runsNot(container) ? 'debug' : 'warn';
    runtime.log[level]({ container: container.id, error: messageOf(error) }, 'its limits were not written again');
  }
};
