import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../base/errors.ts';
import { namesIn } from '../../base/files.ts';
import { type Agent, SELF } from '../../shim/agent.ts';
import type { Log } from '../log.ts';
import { now } from '../runtime.ts';

export interface MeasuredDisk {
  /** Nanoseconds since 1970. */
  readonly at: bigint;
  readonly bytes: number;
  readonly inodes: number;
}

/** A figure that was asked for again so soon is not measured again. */
const shortestPause = 10_000;
/** For what has no figure yet. */
const pauseForNew = 1000;
/** A walk that took a second is followed by at least so many seconds without one. */
const pauseFactor = 50;
const longestWalkMs = 300_000;
/** So long a call waits for the first figure of a container. */
const shortWalkMs = 100;

/**
 * What containers have written. Who asks gets the last figures, at once, and causes the next walk, which is one process for
 * all of them, in the background at the lowest priority.
 */
export class ContainersDisk {
  readonly directory: string;
  /** Images and containers are on file systems of their own. */
  readonly isApart: boolean;
  /** How kubelet knows their file system: it takes two mount points that differ for two file systems. */
  readonly mountpoint: string;
  readonly #agent: Agent;
  readonly #log: Log;
  readonly #stopping: AbortSignal;
  #known = new Map<string, MeasuredDisk>();
  #measuredAt = now();
  #walk: Promise<void> | undefined;
  #endedAt = Number.NEGATIVE_INFINITY;
  #pause = 0;

  private constructor(root: string, isApart: boolean, agent: Agent, log: Log, stopping: AbortSignal) {
    this.directory = join(root, 'containers');
    this.isApart = isApart;
    this.mountpoint = isApart ? this.directory : join(root, 'images');
    this.#agent = agent;
    this.#log = log;
    this.#stopping = stopping;
  }

  static async open(root: string, agent: Agent, log: Log, stopping: AbortSignal): Promise<ContainersDisk> {
    const [own, images] = await Promise.all([stat(join(root, 'containers')), stat(join(root, 'images'))]);
    return new ContainersDisk(root, own.dev !== images.dev, agent, log, stopping);
  }

  /** All of them together. */
  usage(): MeasuredDisk {
    this.#ask(this.#pause);
    let [bytes, inodes] = [0, 0];
    for (const known of this.#known.values()) {
      bytes += known.bytes;
      inodes += known.inodes;
    }
    return { at: this.#measuredAt, bytes, inodes };
  }

  /** A container's writable layer with the VOLUMEs of its image; undefined before the first walk that saw it. */
  of(id: string): MeasuredDisk | undefined {
    const known = this.#known.get(id);
    this.#ask(known === undefined ? Math.max(pauseForNew, this.#pause / 10) : this.#pause);
    return known;
  }

  /** Lets a walk that has just begun end, when one of them has no figure yet; a long one is not waited for. */
  async settle(ids: readonly string[]): Promise<void> {
    if (ids.some((id) => this.of(id) === undefined))
      await Promise.race([this.#walk, delay(shortWalkMs, undefined, { ref: false })]);
  }

  #ask(pause: number): void {
    if (this.#walk === undefined && performance.now() - this.#endedAt >= pause && !this.#stopping.aborted)
      this.#walk = this.#measure();
  }

  async #measure(): Promise<void> {
    const began = performance.now();
    try {
      const ids = await namesIn(this.directory);
      const lines = await this.#lines(ids.map((id) => join(this.directory, id)));
      this.#measuredAt = now();
      this.#known = new Map(ids.flatMap((id, i) => this.#entry(id, lines[i])));
    } catch (error) {
      if (!this.#stopping.aborted) this.#log.warn({ error: messageOf(error) }, 'measuring writable layers failed');
    } finally {
      this.#endedAt = performance.now();
      this.#pause = Math.max(shortestPause, (this.#endedAt - began) * pauseFactor);
      this.#walk = undefined;
    }
  }

  /** A line for each. */
  async #lines(paths: readonly string[]): Promise<readonly string[]> {
    if (paths.length === 0) return [];
    const argv = [SELF, 'tree-usage', '--idle', '--each', ...paths];
    const request = { argv, name: 'measure tree', timeoutMs: longestWalkMs, signal: this.#stopping };
    return (await this.#agent.run(request)).stdout.toString('latin1').split('\n');
  }

  /** What could not be read keeps its figure: it may be on its way out. */
  #entry(id: string, line: string | undefined): [string, MeasuredDisk][] {
    const [, bytes, inodes] = /^(\d+) (\d+)$/.exec(line ?? '') ?? [];
    const known = this.#known.get(id);
    if (bytes === undefined) return known === undefined ? [] : [[id, known]];
    return [[id, { at: this.#measuredAt, bytes: Number(bytes), inodes: Number(inodes) }]];
  }
}
