import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BerthError, messageOf, within } from '../../base/errors.ts';
import { KeyedLocks } from '../../base/locks.ts';
import { capabilityArgs, cniArgs } from './capability.ts';
import { Chain, livingNetns } from './chain.ts';
import { type Conflist, formatConflist } from './conflist.ts';
import { Chooser, type Current, notLookedYet } from './current.ts';
import { onlyAsked } from './embedded.ts';
import { Gate } from './gate.ts';
import { Invoker } from './invoke.ts';
import { NodeCidr } from './node-cidr.ts';
import { eachOf } from './parallel.ts';
import { type PodCidr, parsePodCidr } from './pod-cidr.ts';
import { type Attachment, Attachments } from './record.ts';
import { type CniResult, parseResult } from './result.ts';
import { RetryQueue } from './retry.ts';
import {
  type NetworkConfig,
  type NetworkLog,
  type NetworkSandbox,
  type NetworkStatus,
  type OnPluginCall,
  type PluginRunner,
  podInterface,
} from './types.ts';
import { knowsGc } from './version.ts';
import { DirectoryWatch, type WatchTimes } from './watch.ts';

export interface NetworkOptions {
  readonly agent: PluginRunner;
  readonly config: NetworkConfig;
  /** Berth's durable directory; records and the default network are in `cni/` under it. */
  readonly root: string;
  readonly log: NetworkLog;
  readonly onCall?: OnPluginCall;
  readonly watchTimes?: WatchTimes;
  /** Milliseconds before the first try in the background; doubles up to ten minutes. */
  readonly retryMs?: number;
}

/** So many failed DELs kubelet is told of; then removal goes on and the background queue tries (lesson A5). */
const failuresShown = 5;

/** Recoveries side by side: each starts several processes. */
const atOnce = 8;

const firstLookMs = 1_000;

const defaultTimes: WatchTimes = { settleMs: 100, rescanMs: 5_000 };

/** Pod networks by CNI. One attachment a sandbox, `eth0`. */
export class Network implements AsyncDisposable {
  readonly #records: Attachments;
  readonly #node: NodeCidr;
  readonly #options: NetworkOptions;
  /** These three follow from the configuration; a call keeps the chain that it began with. */
  #chain: Chain;
  #chooser: Chooser;
  #watch: DirectoryWatch;
  readonly #log: NetworkLog;
  readonly #queue: RetryQueue;
  readonly #locks = new KeyedLocks();
  readonly #gate = new Gate();
  /** Set up by this process: a caller's list of live sandboxes may be older than they are. */
  readonly #own = new Set<string>();
  #current: Current = notLookedYet;

  private constructor(options: NetworkOptions, records: Attachments, node: NodeCidr) {
    this.#node = node;
    this.#options = options;
    this.#records = records;
    this.#log = options.log;
    const { chain, chooser, watch } = this.#follow(options.config);
    this.#chain = chain;
    this.#chooser = chooser;
    this.#watch = watch;
    this.#queue = new RetryQueue((id) => this.#retry(id), options.retryMs ?? 10_000);
  }

  /**
   * Reads the configuration once, so that `status` tells the truth from the start; then watches it. A plugin that
   * hangs in VERSION or STATUS does not hold up the daemon's start: the network is not ready until it has answered.
   */
  static async open(options: NetworkOptions): Promise<Network> {
    const { root, config, log } = options;
    const records = await Attachments.open(join(root, 'cni'), log);
    const network = new Network(
      options,
      records,
      await NodeCidr.open(join(root, 'cni'), config, log, () => inUse(records)),
    );
    await Promise.race([network.#watch.start(), delay(firstLookMs, undefined, { ref: false })]);
    return network;
  }

  /** Other directories from here on. New pods are connected by what was found last until one has looked there. */
  async reconfigure(config: NetworkConfig): Promise<void> {
    const before = this.#watch;
    const { chain, chooser, watch } = this.#follow(config);
    this.#chain = chain;
    this.#chooser = chooser;
    this.#watch = watch;
    // A look of the old one that is under way must not have the last word.
    await before.close();
    // A pod CIDR that is told just now waits for plugins that run; the reload does not.
    const followed = this.#locks
      .run('pod CIDR', () => this.#node.reconfigure(config, () => inUse(this.#records)))
      .then(() => watch.start());
    await Promise.race([followed, delay(firstLookMs, undefined, { ref: false })]);
  }

  #follow(config: NetworkConfig): { readonly chain: Chain; readonly chooser: Chooser; readonly watch: DirectoryWatch } {
    const { agent, root, log, watchTimes = defaultTimes } = this.#options;
    const invoker = new Invoker(agent, config.binDirs, this.#options.onCall);
    return {
      chain: new Chain(invoker, this.#records, log),
      chooser: new Chooser(invoker, config, join(root, 'cni'), this.#node, log),
      watch: new DirectoryWatch(config.confDir, () => this.#look(), watchTimes),
    };
  }

  /** From memory: no process is started and no file is read. */
  status(): NetworkStatus {
    return this.#current.status;
  }

  /** The configuration that new pods are connected by, as a CNI configuration list; undefined when there is none. */
  configuration(): object | undefined {
    const { conflist } = this.#current;
    return conflist && formatConflist(conflist);
  }

  /**
   * Connects the sandbox's netns: ADD of every plugin, or nothing at all. `unavailable` while there is no network;
   * `invalid-argument` for wrong port mappings or annotations.
   */
  setup(sandbox: NetworkSandbox, signal: AbortSignal): Promise<CniResult> {
    return this.#turn(`set up network of sandbox ${sandbox.id}`, sandbox.id, async () => {
      const attachment = this.#plan(sandbox);
      const old = await this.#records.load(sandbox.id);
      if (old !== undefined) await this.#chain.remove(old === 'broken' ? attachment : old, { force: false });
      if (signal.aborted)
        throw new BerthError('cancelled', 'cancelled before the first plugin', { cause: signal.reason });
      this.#own.add(sandbox.id);
      return this.#chain.add(attachment, signal).catch((error: unknown) => this.#afterFailure(sandbox.id, error));
    });
  }

  /** CHECK with the kept result; `not-found` when the sandbox has no network. */
  check(sandboxId: string): Promise<void> {
    return this.#turn(`check network of sandbox ${sandboxId}`, sandboxId, async () => {
      const attachment = await this.#records.load(sandboxId);
      if (attachment === undefined || attachment === 'broken' || attachment.state !== 'added')
        throw new BerthError('not-found', 'it has no network');
      await this.#chain.check(attachment);
    });
  }

  /** What the plugins have answered, from the record; undefined when none can be read. */
  async result(sandboxId: string): Promise<CniResult | undefined> {
    const kept = await this.#records.load(sandboxId);
    if (kept === undefined || kept === 'broken' || kept.result === undefined) return undefined;
    return parseResult(kept.result, podInterface, `network record of sandbox ${sandboxId}`);
  }

  /** DEL; nothing to do is no error. After `failuresShown` errors it gives up towards the caller, not towards the node. */
  teardown(sandbox: NetworkSandbox): Promise<void> {
    return this.#turn(`tear down network of sandbox ${sandbox.id}`, sandbox.id, async () => {
      const kept = await this.#records.load(sandbox.id);
      // What ADD was called with is lost with the record: the node's configuration of today is the best guess.
      if (kept !== undefined) await this.#remove(kept === 'broken' ? this.#plan(sandbox) : kept);
      this.#own.delete(sandbox.id);
    });
  }

  /**
   * At start: ends calls that an earlier daemon left, undoes attachments that were half made, and those whose netns is
   * gone (lesson A6). What fails is tried again in the background.
   */
  async recover(): Promise<void> {
    await eachOf(await this.#records.ids(), atOnce, (id) => this.#recoverOne(id));
  }

  /** DEL for attachments of sandboxes that are no more, then GC with the live ones where the plugins know it. */
  async collect(live: readonly string[]): Promise<void> {
    const alive = new Set(live);
    const lost = (await this.#records.ids()).filter((id) => !alive.has(id) && !this.#own.has(id));
    await eachOf(lost, atOnce, (id) => this.#inBackground(id));
    const conflist = this.#current.conflist;
    if (conflist !== undefined && !conflist.disableGC && knowsGc(conflist.cniVersion)) await this.#garbage(conflist);
  }

  /**
   * The addresses that the cluster has given to the node's pods. `conf_template` is rendered with them, the default network
   * goes on with them for new pods, and another's configuration stays as it is; pods keep what they have. Throws
   * `invalid-argument` for text that names no networks, `failed-precondition` for a template that cannot be used. Who goes while it
   * waits for its turn has changed nothing; from there on it is done to the end.
   */
  async updatePodCidr(text: string, signal: AbortSignal): Promise<void> {
    const cidr = parsePodCidr(text);
    await this.#locks.run('pod CIDR', async () => {
      signal.throwIfAborted();
      if (!this.#node.isKept(cidr)) await this.#gate.aloneSoon(() => this.#keepCidr(cidr), signal);
      await this.#node.render(cidr);
      await this.#watch.lookNow();
    });
    const { source } = this.#current.status;
    this.#log.info({ source, cidr: cidr.texts }, `pod CIDR ${text}: ${this.#effect(source)}`);
  }

  /**
   * Alone: a pod that is being connected may take the bridge that is chosen here, and one that waits must come with the new
   * addresses. With the old ones on this bridge it would lose its way out as soon as the next pod comes.
   */
  async #keepCidr(cidr: PodCidr): Promise<void> {
    await this.#node.keep(cidr, await inUse(this.#records));
    if (this.#current.embedded) await this.#watch.lookNow();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch.close();
    await this.#queue.close();
  }

  #turn<T>(action: string, id: string, work: () => Promise<T>): Promise<T> {
    return this.#locks.run(id, () =>
      this.#gate.shared(work).catch((error: unknown) => {
        throw within(action, error);
      }),
    );
  }

  #plan(sandbox: NetworkSandbox): Attachment {
    const { conflist, embedded, status } = this.#current;
    if (conflist === undefined) throw new BerthError('unavailable', status.message);
    const args = capabilityArgs(sandbox);
    return {
      state: 'adding',
      sandboxId: sandbox.id,
      netnsPath: sandbox.netnsPath,
      ifName: podInterface,
      args: cniArgs(sandbox),
      lockPath: sandbox.lockPath,
      conflist: embedded ? onlyAsked(conflist, args) : conflist,
      capabilityArgs: args,
      result: undefined,
      failures: 0,
    };
  }

  #effect(source: string): string {
    const name = this.#node.follows ? "the default network's from now on" : 'the default network keeps embedded_subnet';
    return source === 'embedded' ? name : `the network is ${source}`;
  }

  /** The record is still there when the undo failed as well. */
  async #afterFailure(id: string, error: unknown): Promise<never> {
    this.#own.delete(id);
    if ((await this.#records.load(id)) !== undefined) this.#queue.add(id);
    throw error;
  }

  async #remove(attachment: Attachment): Promise<void> {
    const failures = attachment.failures + 1;
    const last = failures >= failuresShown;
    try {
      await this.#chain.remove(attachment, { force: last });
      this.#queue.drop(attachment.sandboxId);
    } catch (error) {
      await this.#records.save({ ...attachment, failures });
      this.#queue.add(attachment.sandboxId);
      if (!last) throw error;
      const text = `network of sandbox ${attachment.sandboxId} is left to the background: ${messageOf(error)}`;
      this.#log.warn({ sandbox: attachment.sandboxId, failures, err: error }, text);
    }
  }

  /** True when nothing is left to do. */
  async #retry(id: string): Promise<boolean> {
    return this.#locks.run(id, () => this.#gate.shared(() => this.#tryRemove(id)));
  }

  async #tryRemove(id: string): Promise<boolean> {
    try {
      const attachment = await this.#records.load(id);
      if (attachment === undefined) return true;
      if (attachment === 'broken') await this.#records.setAside(id);
      else await this.#chain.remove(attachment, { force: true });
      this.#log.info({ sandbox: id }, `network of sandbox ${id} removed in the background`);
      return true;
    } catch (error) {
      this.#log.warn({ sandbox: id, err: error }, `network of sandbox ${id} not removed yet: ${messageOf(error)}`);
      return false;
    }
  }

  async #inBackground(id: string): Promise<void> {
    if (!(await this.#retry(id))) this.#queue.add(id);
  }

  async #recoverOne(id: string): Promise<void> {
    try {
      const attachment = await this.#records.load(id);
      if (attachment === undefined || attachment === 'broken') return;
      if (attachment.state === 'adding' || (await livingNetns(attachment.netnsPath)) === '')
        await this.#inBackground(id);
    } catch (error) {
      this.#log.warn({ sandbox: id, err: error }, `recover network of sandbox ${id}: ${messageOf(error)}`);
    }
  }

  #garbage(conflist: Conflist): Promise<void> {
    return this.#gate.alone(async () => {
      const ids = await this.#records.ids();
      const kept = await Promise.all(ids.map((id) => this.#records.load(id)));
      // A record that cannot be read may be of a live attachment, and GC would take its address.
      if (kept.includes('broken')) return;
      await this.#chain.collect(
        conflist,
        kept.filter((one) => one !== undefined && one !== 'broken'),
      );
    });
  }

  async #look(): Promise<void> {
    const before = this.#current.status;
    this.#current = await this.#chooser.choose();
    const { ready, message, source } = this.#current.status;
    if (ready === before.ready && message === before.message && source === before.source) return;
    if (ready) this.#log.info({ source }, `pod network ready: ${source}`);
    else this.#log.warn({ source }, message);
  }
}

/** The configurations of all attachments. */
const inUse = async (records: Attachments): Promise<readonly Conflist[]> => {
  const kept = await Promise.all((await records.ids()).map((id) => records.load(id)));
  return kept.flatMap((one) => (one === undefined || one === 'broken' ? [] : [one.conflist]));
};
