import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../api/client.ts';
import type { ContainerStatus } from '../api/generated/types.ts';
import type { Output } from './context.ts';
import { contentOf } from './log-lines.ts';
import { followLog } from './log-reader.ts';
import { logPathOf, statusOf } from './pods.ts';

const pollMs = 100;

/** Asks at most every `pollMs`, and never again once the answer is yes. */
export const exitWatch = (client: Client, containerId: string): (() => Promise<boolean>) => {
  let asked = 0;
  let over = false;
  return async () => {
    if (over || Date.now() - asked < pollMs) return over;
    asked = Date.now();
    const { state } = await statusOf(client, containerId);
    over = state === 'CONTAINER_EXITED' || state === 'CONTAINER_UNKNOWN';
    return over;
  };
};

/** Shows what the container writes until it has ended and all is shown. */
export const showLog = async (client: Client, containerId: string, out: Output): Promise<void> => {
  const path = logPathOf(await statusOf(client, containerId));
  for await (const line of followLog(path, exitWatch(client, containerId)))
    if (line.stream === 'stdout') out.write(contentOf(line));
    else out.error(contentOf(line));
};

export const waitForExit = async (client: Client, containerId: string): Promise<ContainerStatus> => {
  const ended = exitWatch(client, containerId);
  while (!(await ended())) await sleep(pollMs);
  return statusOf(client, containerId);
};
