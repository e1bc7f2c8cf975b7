import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../base/errors.ts';
import { treeSize } from '../../images/layers/size.ts';
import type { TreeSize } from '../../images/layers/trees.ts';
import type { Agent } from '../../shim/agent.ts';
import { SELF } from '../../shim/program.ts';
import type { Log } from '../log.ts';
import { now } from '../runtime.ts';

export interface MeasuredDisk extends TreeSize {
  /** Nanoseconds since 1970. */
  readonly at: bigint;
}

/** A figure that was asked for again so soon is not measured again. */
const freshMs = 10_000;

/**
 * What containers have written, all of them together. Who asks gets the last figure, at once, and causes the next walk,
 * which runs in the background at the lowest priority.
 */
export class ContainersDisk {
  readonly directory: string;
  /** Images and containers are on file systems of their own. */
  readonly isApart: boolean;
  readonly #agent: Agent;
  readonly #log: Log;
  readonly #stopping: AbortSignal;
  #measured: MeasuredDisk = { bytes: 0, inodes: 0, at: now() };
  #isWalking = false;
  #nextAt = 0;

  private constructor(directory: string, isApart: boolean, agent: Agent, log: Log, stopping: AbortSignal) {
    this.directory = directory;
    this.isApart = isApart;
    this.#agent = agent;
    this.#log = log;
    this.#stopping = stopping;
  }

  static async open(root: string, agent: Agent, log: Log, stopping: AbortSignal): Promise<ContainersDisk> {
    const directory = join(root, 'containers');
    const [own, images] = await Promise.all([stat(directory), stat(join(root, 'images'))]);
    return new ContainersDisk(directory, own.dev !== images.dev, agent, log, stopping);
  }

  usage(): MeasuredDisk {
    if (!this.#isWalking && performance.now() >= this.#nextAt && !this.#stopping.aborted) void this.#measure();
    return this.#measured;
  }

  async #measure(): Promise<void> {
    this.#isWalking = true;
    try {
      const tools = { helper: this.#agent, program: SELF };
      this.#measured = { ...(await treeSize(tools, this.directory, this.#stopping, true)), at: now() };
    } catch (error) {
      if (!this.#stopping.aborted) this.#log.warn({ error: messageOf(error) }, 'measuring writable layers failed');
    } finally {
      this.#nextAt = performance.now() + freshMs;
      this.#isWalking = false;
    }
  }
}
