import { BerthError } from '../base/errors.ts';
import type { Agent } from './agent.ts';
import { errorOnStdout } from './native-error.ts';
import { SELF } from './program.ts';

/** Killing and removing are bounded to ten and two seconds a directory by the role itself. */
const timeoutMs = 60_000;

/**
 * Kills all in the cgroup (its directories: one on v2, one a controller on v1) and removes it; idempotent.
 * `unavailable` with the directory when a process in it does not die.
 */
export const endCgroup = async (agent: Agent, directories: readonly string[]): Promise<void> => {
  if (directories.length === 0) return;
  const without = agent.features.cgroupKill ? [] : ['--without-kill-file'];
  const argv = [SELF, 'cgroup-end', ...without, ...directories];
  const { code, stdout, stderr } = await agent.run({ name: 'end cgroup', argv, timeoutMs });
  if (code === 0) return;
  const cause = errorOnStdout(stdout);
  const text = cause?.message ?? `ended with ${code} ${stderr.toString('utf8').trim()}`;
  throw new BerthError(cause?.code ?? 'internal', `end cgroup: ${text}`, { cause });
};
