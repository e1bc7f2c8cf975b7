import { constants } from 'node:fs';
import { access, statfs } from 'node:fs/promises';
import { messageOf } from '../../base/errors.ts';
import type { Runtime } from '../runtime.ts';

export interface Check {
  readonly name: string;
  /** What is wrong; undefined while all is well. */
  readonly problem: string | undefined;
}

/** What /readyz asks, in this order; each costs a few microseconds or one answer of the agent. */
export const checkNames = ['daemon', 'agent', 'network', 'state', 'root'] as const;

export type Checked = Pick<Runtime, 'config' | 'agent' | 'network'> & { readonly notServing: () => string | undefined };

/** Whether pods can be run now. Never throws. */
export const readiness = async ({ config, agent, network, notServing }: Checked): Promise<readonly Check[]> => {
  const { ready, message } = network.status();
  const problems = {
    daemon: notServing(),
    agent: await agent.check(agentMs),
    network: ready ? undefined : message,
    state: await problemOfDirectory(config.state),
    root: await problemOfDirectory(config.root),
  };
  return checkNames.map((name) => ({ name, problem: problems[name] }));
};

const agentMs = 1000;

/** Nothing is written: a file system that was made read-only after an error says so, and one that is full tells its room. */
const problemOfDirectory = async (path: string): Promise<string | undefined> => {
  try {
    await access(path, constants.W_OK);
    const { bavail, files, ffree } = await statfs(path);
    if (bavail === 0) return `${path}: no space is left`;
    return files > 0 && ffree === 0 ? `${path}: no inode is left` : undefined;
  } catch (error) {
    return messageOf(error);
  }
};

/** As Kubernetes' components write it: a line a check, and the sum. */
export const inWords = (what: string, checks: readonly Check[]): string => {
  const lines = checks.map(({ name, problem }) =>
    problem === undefined ? `[+]${name} ok` : `[-]${name} failed: ${problem}`,
  );
  const isWell = checks.every(({ problem }) => problem === undefined);
  return [...lines, `${what} check ${isWell ? 'passed' : 'failed'}`].join('\n');
};
