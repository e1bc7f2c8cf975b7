import { join } from 'node:path';
import { messageOf } from '../../base/errors.ts';
import type { Conflist } from './conflist.ts';
import { bridgesOf, chooseBridge, readKeptCidr, writeKeptCidr } from './kept-cidr.ts';
import type { KeptCidr, PodCidr } from './pod-cidr.ts';
import { writeRendered } from './rendered.ts';
import type { NetworkConfig, NetworkLog } from './types.ts';

/** The node's pod CIDR over the daemon's restarts, and what follows it. */
export class NodeCidr {
  readonly #directory: string;
  #config: NetworkConfig;
  readonly #log: NetworkLog;
  #kept: KeptCidr | undefined;

  private constructor(directory: string, config: NetworkConfig, log: NetworkLog, kept: KeptCidr | undefined) {
    this.#directory = directory;
    this.#config = config;
    this.#log = log;
    this.#kept = kept;
  }

  /**
   * Follows a configuration that has changed since the CIDR was told: another template, another bridge. What fails of it is
   * told in the log alone. `inUse` as in `keep`.
   */
  static async open(
    directory: string,
    config: NetworkConfig,
    log: NetworkLog,
    inUse: () => Promise<readonly Conflist[]>,
  ): Promise<NodeCidr> {
    const node = new NodeCidr(directory, config, log, await readKeptCidr(fileIn(directory), log));
    await node.reconfigure(config, inUse);
    return node;
  }

  /** The same for a daemon that runs: another conf_dir wants the rendered template too. Not beside `keep` or `render`. */
  async reconfigure(config: NetworkConfig, inUse: () => Promise<readonly Conflist[]>): Promise<void> {
    this.#config = config;
    await this.#follow(inUse).catch((error: unknown) =>
      this.#log.warn({ err: error }, `pod CIDR: ${messageOf(error)}`),
    );
  }

  async #follow(inUse: () => Promise<readonly Conflist[]>): Promise<void> {
    if (this.#kept === undefined) return;
    const { cidr, bridge } = this.#kept;
    if (!bridgesOf(this.#config.embeddedBridge).includes(bridge)) await this.keep(cidr, await inUse());
    await this.render(cidr);
  }

  get kept(): KeptCidr | undefined {
    return this.#kept;
  }

  /** True when the default network has the CIDR's addresses. */
  get follows(): boolean {
    return this.#config.embeddedSubnet === '';
  }

  isKept(cidr: PodCidr): boolean {
    return this.#kept?.cidr.texts.join(',') === cidr.texts.join(',');
  }

  /** `inUse` are the configurations of all attachments; none may come while this runs. */
  async keep(cidr: PodCidr, inUse: readonly Conflist[]): Promise<void> {
    const kept = { cidr, bridge: chooseBridge(this.#config.embeddedBridge, cidr, inUse) };
    await writeKeptCidr(fileIn(this.#directory), kept);
    this.#kept = kept;
  }

  /** Nothing without a template. Throws `failed-precondition` for one that cannot be used. */
  async render(cidr: PodCidr): Promise<void> {
    if (this.#config.confTemplate === '') return;
    await writeRendered(this.#config, join(this.#directory, 'rendered'), cidr, this.#log);
  }
}

const fileIn = (directory: string): string => join(directory, 'pod-cidr.json');
