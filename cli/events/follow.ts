import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../../api/client.ts';
import type { PodSandbox } from '../../api/generated/types.ts';
import { BerthError, type ErrorCode, messageOf } from '../../base/errors.ts';
import { fromWire, type ShownEvent, shownEvent } from './shown.ts';

export interface Following {
  readonly client: Client;
  readonly signal: AbortSignal;
  /** First what is there, and again after each loss of the connection: nothing is missed then. */
  readonly state: boolean;
  readonly show: (event: ShownEvent) => void;
  /** A line for the person: the connection is lost, or there again. */
  readonly notice: (text: string) => void;
}

const firstWaitMs = 200;
const longestWaitMs = 5_000;

/** A daemon that refuses will refuse again. */
const final: readonly ErrorCode[] = ['unimplemented', 'permission-denied', 'invalid-argument', 'unauthenticated'];

/**
 * Shows events until `signal` aborts. A daemon that has gone is waited for; one that was never there is an error at once.
 */
export const followEvents = async (following: Following): Promise<void> => {
  const { signal, notice } = following;
  let connections = 0;
  let waitMs = firstWaitMs;
  while (!signal.aborted) {
    const connected = (): void => {
      if (connections > 0) notice(`connected again${following.state ? '' : '; what happened meanwhile is not shown'}`);
      connections += 1;
      waitMs = firstWaitMs;
    };
    const error = await listen(following, connected).catch((reason: unknown) => reason);
    if (signal.aborted) return;
    if (connections === 0 || (error instanceof BerthError && final.includes(error.code))) throw error;
    if (waitMs === firstWaitMs) notice(`no events any more: ${why(error)}; trying again`);
    await sleep(waitMs, undefined, { signal }).catch(() => undefined);
    waitMs = Math.min(waitMs * 2, longestWaitMs);
  }
};

const why = (error: unknown): string => (error === undefined ? 'the daemon has ended the stream' : messageOf(error));

const listen = async ({ client, signal, state, show }: Following, connected: () => void): Promise<void> => {
  const over = new AbortController();
  const events = client
    .GetContainerEvents({}, { signal: AbortSignal.any([signal, over.signal]) })
    [Symbol.asyncIterator]();
  const first = events.next();
  // An error of it is told below: here it may come before anybody waits.
  first.catch(() => undefined);
  try {
    // Calls of one connection are taken in order: when this is answered the events are listened to.
    await client.Version({}, { signal });
    connected();
    if (state) for (const event of await stateOf(client, signal)) show(event);
    for (let next = await first; next.done !== true; next = await events.next()) show(fromWire(next.value));
  } finally {
    over.abort();
  }
};

/** The pods with their containers, each as the runtime tells it now; what goes meanwhile is left out. */
const stateOf = async (client: Client, signal: AbortSignal): Promise<readonly ShownEvent[]> => {
  const { items } = await client.ListPodSandbox({}, { signal });
  const oldestFirst = items.toSorted((a, b) => (a.created_at < b.created_at ? -1 : 1));
  const each = await Promise.all(oldestFirst.map((pod) => stateOfPod(client, pod, signal)));
  return each.flat();
};

const stateOfPod = async (client: Client, { id }: PodSandbox, signal: AbortSignal): Promise<readonly ShownEvent[]> => {
  const answer = await client.PodSandboxStatus({ pod_sandbox_id: id }, { signal }).catch((error: unknown) => {
    if (error instanceof BerthError && error.code === 'not-found') return undefined;
    throw error;
  });
  const { status, containers_statuses: all } = answer ?? {};
  if (status === undefined) return [];
  const time = new Date().toISOString();
  return [
    shownEvent('state', time, id, status, undefined),
    ...(all ?? []).map((container) => shownEvent('state', time, container.id, status, container)),
  ];
};
