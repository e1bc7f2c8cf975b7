import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { messageOf } from '../../base/errors.ts';
import { namesIn } from '../../base/files.ts';
import type { Agent } from '../../shim/agent.ts';
import type { Log } from '../log.ts';
import { now } from '../runtime.ts';
import { type MeasuredDisk, measureDisks } from './disk-walk.ts';

/** A figure that was asked for again so soon is not measured again. */
const shortestPause = 10_000;
/** A walk that took a second is followed by at least so many seconds without one. */
const pauseFactor = 50;
/** So long a call waits for the first figure of a container. */
const shortWalkMs = 100;

/**
 * What containers have written. Who asks gets the last figures, at once, and causes the next walk, which is one process for
 * all of them, in the background at the lowest priority. Containers that came behind the last walk have one of their own.
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
  /** Of those that have had a walk, whether or not it found a figure. */
  #seen = new Set<string>();
  #walkOfNew: Promise<void> = Promise.resolve();
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
    this.#ask();
    let [bytes, inodes] = [0, 0];
    for (const known of this.#known.values()) {
      bytes += known.bytes;
      inodes += known.inodes;
    }
    return { at: this.#measuredAt, bytes, inodes };
  }

  /** A container's writable layer with the VOLUMEs of its image; undefined before the first walk that saw it. */
  of(id: string): MeasuredDisk | undefined {
    this.#ask();
    return this.#known.get(id);
  }

  /** Waits for the first figures of those that have none yet, as far as that is a short walk. */
  async settle(ids: readonly string[]): Promise<void> {
    this.#ask();
    if (ids.every((id) => this.#known.has(id))) return;
    const walks = this.#walk === undefined ? this.#measureNew(ids) : this.#walk.then(() => this.#measureNew(ids));
    await Promise.race([walks, delay(shortWalkMs, undefined, { ref: false })]);
  }

  #ask(): void {
    if (this.#walk === undefined && performance.now() - this.#endedAt >= this.#pause && !this.#stopping.aborted)
      this.#walk = this.#measure();
  }

  async #measure(): Promise<void> {
    const began = performance.now();
    try {
      const ids = await namesIn(this.directory);
      this.#seen = new Set(ids);
      const found = await measureDisks(this.#agent, this.directory, ids, this.#stopping);
      this.#measuredAt = now();
      this.#known = new Map(ids.flatMap((id) => this.#entry(id, found.get(id))));
    } catch (error) {
      this.#tell(error);
    } finally {
      this.#endedAt = performance.now();
      this.#pause = Math.max(shortestPause, (this.#endedAt - began) * pauseFactor);
      this.#walk = undefined;
    }
  }

  /** One walk after the other, each of what none has seen. */
  #measureNew(ids: readonly string[]): Promise<void> {
    const isUnseen = (id: string): boolean => !(this.#seen.has(id) || this.#stopping.aborted);
    this.#walkOfNew = this.#walkOfNew
      .then(async () => {
        const unseen = ids.filter(isUnseen);
        for (const id of unseen) this.#seen.add(id);
        const found = await measureDisks(this.#agent, this.directory, unseen, this.#stopping);
        for (const [id, disk] of found) this.#known.set(id, disk);
      })
      .catch((error: unknown) => this.#tell(error));
    return this.#walkOfNew;
  }

  #tell(error: unknown): void {
    if (!this.#stopping.aborted) this.#log.warn({ error: messageOf(error) }, 'measuring writable layers failed');
  }

  /** What could not be read keeps its figure: it may be on its way out. */
  #entry(id: string, found: MeasuredDisk | undefined): [string, MeasuredDisk][] {
    const disk = found ?? this.#known.get(id);
    return disk === undefined ? [] : [[id, disk]];
  }
}
