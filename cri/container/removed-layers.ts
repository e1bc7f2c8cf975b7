import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../base/errors.ts';
import type { Agent } from '../../shim/agent.ts';
import { removeTreeByAgent } from '../../shim/tree.ts';
import type { Log } from '../log.ts';

/** Hundred thousand files are gone by then; who waits finds the disk as it will be. */
const defaultWaitMs = 1000;
const firstPauseMs = 10_000;
const longestPauseMs = 3_600_000;

interface Options {
  readonly log: Log;
  /** Aborted when the daemon stops: then the agent ends what runs, and the next start goes on with it. */
  readonly stopping: AbortSignal;
  readonly waitMs?: number;
  readonly pauseMs?: number;
}

/**
 * Deletes the writable layers of containers that are removed, and nobody waits long for one of millions of files. A layer has the
 * container's id, which no other ever has: one whose container is not known is a stray (cri/recover/strays.ts), so what a crash
 * leaves of it goes at the next start.
 */
export class RemovedLayers {
  readonly #agent: Agent;
  readonly #options: Options;
  readonly #behind = new Set<string>();

  constructor(agent: Agent, options: Options) {
    this.#agent = agent;
    this.#options = options;
  }

  /** What nobody waits for any more: being deleted, or to be tried again. */
  get behind(): readonly string[] {
    return [...this.#behind];
  }

  /** Resolves when they are gone, or when that takes long: then it goes on, and is tried again when it fails. Errors before that. */
  async remove(paths: readonly string[]): Promise<void> {
    const { waitMs = defaultWaitMs, pauseMs = firstPauseMs } = this.#options;
    const waited = new AbortController();
    let isBehind = false;
    const removing = removeTreeByAgent(this.#agent, paths);
    removing
      .then(
        () => this.#forget(paths),
        (error: unknown) => isBehind && this.#again(paths, error, pauseMs),
      )
      .finally(() => waited.abort());
    const late = delay(waitMs, undefined, { signal: waited.signal }).then(
      () => {
        isBehind = true;
        for (const path of paths) this.#behind.add(path);
      },
      () => removing,
    );
    await Promise.race([removing, late]);
  }

  /** As `remove`, for whom nobody asks again: what fails soon is tried again as well. It never rejects. */
  removeBehind(paths: readonly string[]): Promise<void> {
    const { pauseMs = firstPauseMs } = this.#options;
    return this.remove(paths).catch((error: unknown) => this.#again(paths, error, pauseMs));
  }

  #again(paths: readonly string[], error: unknown, pauseMs: number): void {
    const { log, stopping } = this.#options;
    if (stopping.aborted) return;
    for (const path of paths) this.#behind.add(path);
    log.warn({ paths, error: messageOf(error) }, 'what a removed container has written could not be deleted yet');
    const retry = (): void =>
      void removeTreeByAgent(this.#agent, paths).then(
        () => this.#forget(paths),
        (next: unknown) => this.#again(paths, next, Math.min(pauseMs * 2, longestPauseMs)),
      );
    setTimeout(retry, pauseMs).unref();
  }

  #forget(paths: readonly string[]): void {
    for (const path of paths) this.#behind.delete(path);
  }
}
