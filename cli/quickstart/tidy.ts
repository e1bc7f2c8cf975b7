import { execFile } from 'node:child_process';
import { rmdir, writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { removeTree } from '../../base/files.ts';
import type { Place } from './place.ts';
import { ownProcesses } from './processes.ts';
import { currentRules, ownRules, removeRules } from './rules.ts';
import { type Before, ownCgroups, ownMounts } from './traces.ts';

const run = promisify(execFile);

/**
 * Takes down what stays by design when the daemon has ended (bridge, plugins' empty chains, forwarding, the pods' parent
 * cgroup) and, after a failure, everything else. Each part is tried, whatever became of the others.
 */
export const tidy = async (place: Place, before: Before): Promise<readonly unknown[]> => {
  const parts = [endProcesses, unmountAll, removeLink, removeChains, restoreSwitches, removeCgroups];
  const errors: unknown[] = [];
  for (const part of parts) await part(place, before).catch((error: unknown) => errors.push(error));
  if ((await ownMounts(place)).length === 0) await removeTree(place.directory);
  return errors;
};

/** Only processes that carry the names of this quickstart. */
const endProcesses = async (place: Place): Promise<void> => {
  for (let round = 0; round < 50; round += 1) {
    const left = await ownProcesses(place);
    if (left.length === 0) return;
    for (const { pid } of left) kill(pid);
    await sleep(50);
  }
};

const kill = (pid: number): void => {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // it has ended by itself
  }
};

const unmountAll = async (place: Place): Promise<void> => {
  for (const point of (await ownMounts(place)).reverse()) await run('umount', ['-l', point]);
};

const removeLink = async ({ bridge }: Place): Promise<void> => {
  await run('ip', ['link', 'delete', bridge]).catch((error: Error) => {
    if (!/Cannot find device/.test(error.message)) throw error;
  });
};

const removeChains = async (_: Place, before: Before): Promise<void> =>
  removeRules(ownRules(before.rules, await currentRules()));

const restoreSwitches = async (_: Place, { switches }: Before): Promise<void> => {
  for (const [file, content] of switches) if (content !== '') await writeFile(file, content);
};

const removeCgroups = async (place: Place): Promise<void> => {
  for (const directory of await ownCgroups(place)) await rmdir(directory);
};
