import { type Runtime, sandboxPaths } from '../runtime.ts';
import type { Sandbox } from '../state/sandbox.ts';

/**
 * Ends who still makes the sandbox's namespaces for a daemon or an agent that has died: pins that came behind their removal would stay
 * for good.
 */
export const endMaker = async ({ agent, config }: Runtime, { id }: Sandbox): Promise<void> => {
  const { makeLock } = sandboxPaths(config, id);
  if (!(await agent.tryLock(makeLock)).free) await agent.endHolder(makeLock, 0);
};
