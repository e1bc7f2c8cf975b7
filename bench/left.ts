import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../api/client.ts';
import { messageOf } from '../base/errors.ts';

/** All pods of this run begin with it: a peer may have others. */
export const podPrefix = `bench-${process.pid}-`;

const takeDownMs = 60_000;
const pauseMs = 500;
const width = 10;

/** A client of a peer that knows which pods are being made, so that none is missed when the run ends early. */
export const watchingPods = (client: Client): { readonly client: Client; dropLeft(): Promise<void> } => {
  const making = new Set<Promise<unknown>>();
  const RunPodSandbox: Client['RunPodSandbox'] = (...call) => {
    const made = client.RunPodSandbox(...call);
    const settled: Promise<unknown> = made.catch(() => undefined).finally(() => making.delete(settled));
    making.add(settled);
    return made;
  };
  const dropLeft = async (): Promise<void> => {
    await Promise.all(making);
    const { items } = await client.ListPodSandbox({}, { timeoutMs: takeDownMs });
    const left = items.filter(({ metadata }) => metadata?.name.startsWith(podPrefix) === true).map(({ id }) => id);
    if (left.length > 0) console.error(`bench: ${left.length} pods are left at the peer: taking them down`);
    const worker = async (): Promise<void> => {
      for (let id = left.pop(); id !== undefined; id = left.pop()) await dropPod(client, id);
    };
    await Promise.all(Array.from({ length: width }, worker));
  };
  return { client: { ...client, RunPodSandbox }, dropLeft };
};

/** Whatever was being done to it ends first: containerd refuses to remove what it is starting. One that stays is told, and keeps no other. */
const dropPod = async (client: Client, pod_sandbox_id: string, tries = 10): Promise<void> => {
  try {
    await client.StopPodSandbox({ pod_sandbox_id }, { timeoutMs: takeDownMs });
    await client.RemovePodSandbox({ pod_sandbox_id }, { timeoutMs: takeDownMs });
  } catch (error) {
    await sleep(pauseMs);
    if (tries > 1) return dropPod(client, pod_sandbox_id, tries - 1);
    console.error(`bench: the pod ${pod_sandbox_id} stays at the peer: ${messageOf(error)}`);
    process.exitCode = 1;
  }
};

const ending = new AbortController();

/** Throws when the run has been interrupted: what still runs of it makes nothing more, and so comes to its end. */
export const beginNothingWhenInterrupted = (): void => ending.signal.throwIfAborted();

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Aborts at the first signal that would end the process, or at an error that nobody waits for; more of them change nothing (npm
 * hands on what the terminal sends as well).
 */
export class Interruption implements AsyncDisposable {
  readonly #listener = (name: NodeJS.Signals): void => {
    this.#name ??= name;
    ending.abort(new Error(`interrupted by ${name}`));
  };
  readonly #fault = (error: unknown): void => {
    // Where nothing is raced nobody else tells of it.
    console.error(`bench: an error that nobody waited for: ${messageOf(error)}`);
    ending.abort(error);
  };
  readonly #unwindMs: number;
  #name: NodeJS.Signals | undefined;
  #action: Promise<unknown> = Promise.resolve();

  /** `unwindMs`: so long what is interrupted may take to clean up. */
  constructor(unwindMs = 20_000) {
    this.#unwindMs = unwindMs;
    for (const name of signals) process.on(name, this.#listener);
    process.on('uncaughtException', this.#fault);
  }

  /** What the action gives, or the interruption at once: then the caller can take away what the action works with. */
  race(action: () => Promise<void>): Promise<void> {
    const { signal } = ending;
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      signal.throwIfAborted();
      this.#action = action().then(resolve, reject);
    });
  }

  /** After what was interrupted has cleaned up, the process ends as the signal would have ended it. */
  async [Symbol.asyncDispose](): Promise<void> {
    const isEarly = ending.signal.aborted;
    const isOver = !isEarly || (await Promise.race([this.#action.then(() => true), sleep(this.#unwindMs, false)]));
    if (!isOver)
      console.error(
        `bench: what was interrupted has not cleaned up in ${this.#unwindMs} ms: pods whose names begin with ${podPrefix} may be left`,
      );
    for (const name of signals) process.off(name, this.#listener);
    process.off('uncaughtException', this.#fault);
    if (this.#name !== undefined) process.kill(process.pid, this.#name);
    // What was left behind may still hold a connection.
    else if (isEarly) process.exit(1);
  }
}
