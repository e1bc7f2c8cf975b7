import { BerthError } from '../base/errors.ts';
import type { Agent } from './agent.ts';
import { errorOnStdout } from './native-error.ts';
import { SELF } from './program.ts';

/** Millions of files take minutes; the next try goes on where this one ended. */
const timeoutMs = 600_000;

/**
 * Removes files and whole trees that a container may have filled: of any depth and size, with any names, without a
 * thread of the daemon. Never follows links, never enters mounts; idempotent. Errors name the file that stays.
 */
export const removeTreeByAgent = async (agent: Agent, paths: readonly string[]): Promise<void> => {
  if (paths.length === 0) return;
  const argv = [SELF, 'tree-remove', ...paths];
  const { code, stdout, stderr } = await agent.run({ name: 'remove tree', argv, timeoutMs });
  if (code === 0) return;
  const cause = errorOnStdout(stdout);
  const text = cause?.message ?? `ended with ${code} ${stderr.toString('utf8').trim()}`;
  throw new BerthError(cause?.code ?? 'internal', `${paths.join(', ')}: ${text}`, { cause });
};
