import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf, orMissing } from '../../base/errors.ts';
import { endCgroup } from '../../shim/cgroup.ts';
import type { Runtime } from '../runtime.ts';

/** systemd's unit of a container by its cgroup's directories; undefined where those are our own. */
export const scopeOf = (directories: readonly string[]): string | undefined =>
  directories.find((directory) => directory.endsWith('.scope'));

type Part = Pick<Runtime, 'agent' | 'driver' | 'log'>;

const stop = ({ driver: { systemd }, log }: Part, unit: string): Promise<void> =>
  systemd
    .stopUnit(unit)
    .catch((error: unknown) =>
      log.warn({ unit, error: messageOf(error) }, 'a scope of a container that has ended stays'),
    );

/** Kills all in a container's cgroup and removes it, for a supervisor that cannot; idempotent. */
export const endScope = async (runtime: Part, directories: readonly string[]): Promise<void> => {
  await endCgroup(runtime.agent, directories);
  await forgetScope(runtime, directories);
};

/** systemd may not have seen that it became empty. For after the end is recorded: a systemd that is silent takes half a minute. */
export const forgetScope = async (runtime: Part, directories: readonly string[]): Promise<void> => {
  const scope = scopeOf(directories);
  if (scope !== undefined) await stop(runtime, basename(scope));
};

const pausesMs = [5, 10, 20, 40, 80, 160, 320];

/** Waits until systemd has removed the scope of a container that has ended, which it does by itself; else asks it to. */
export const leaveScope = async (runtime: Part, directories: readonly string[]): Promise<void> => {
  const scope = scopeOf(directories);
  if (scope === undefined) return;
  for (const pause of pausesMs) {
    if ((await orMissing(stat(scope))) === undefined) return;
    await delay(pause);
  }
  await stop(runtime, basename(scope));
};
