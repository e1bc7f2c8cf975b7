import { join } from 'node:path';
import { type Agent, SELF } from '../../shim/agent.ts';
import { now } from '../runtime.ts';

export interface MeasuredDisk {
  /** Nanoseconds since 1970. */
  readonly at: bigint;
  readonly bytes: number;
  readonly inodes: number;
}

const longestWalkMs = 300_000;

/** Of each of the directories, in one process at the lowest priority; without those that could not be read. Rejects with an AgentError. */
export const measureDisks = async (
  agent: Agent,
  directory: string,
  ids: readonly string[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, MeasuredDisk>> => {
  if (ids.length === 0) return new Map();
  const argv = [SELF, 'tree-usage', '--idle', '--each', ...ids.map((id) => join(directory, id))];
  const { stdout } = await agent.run({ argv, name: 'measure tree', timeoutMs: longestWalkMs, signal });
  const at = now();
  const lines = stdout.toString('latin1').split('\n');
  return new Map(ids.flatMap((id, i) => entry(id, lines[i] ?? '', at)));
};

const entry = (id: string, line: string, at: bigint): [string, MeasuredDisk][] => {
  const [, bytes, inodes] = /^(\d+) (\d+)$/.exec(line) ?? [];
  return bytes === undefined ? [] : [[id, { at, bytes: Number(bytes), inodes: Number(inodes) }]];
};
