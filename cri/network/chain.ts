import { access, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf, within } from '../../base/errors.ts';
import { Rollback } from '../../base/rollback.ts';
import { runtimeConfig } from './capability.ts';
import type { Conflist, PluginConf } from './conflist.ts';
import { type Command, type Invoker, requestConfig } from './invoke.ts';
import { type JsonObject, wrong } from './json.ts';
import type { Attachment, Attachments } from './record.ts';
import { type CniResult, parseResult } from './result.ts';
import type { NetworkLog } from './types.ts';
import { knowsCheck } from './version.ts';

const nsfsMagic = 0x6e736673;

/** A netns that is gone (or a plain file after a reboot) is told to plugins as "", which is what DEL allows. */
export const livingNetns = async (path: string): Promise<string> => {
  const info = await statfs(path).catch(() => undefined);
  return info?.type === nsfsMagic ? path : '';
};

/** A reboot empties the state directory, and the lock's own with it: nobody can hold it then. */
const usableLock = async (path: string): Promise<string> =>
  access(dirname(path)).then(
    () => path,
    () => '',
  );

/** How long an orphaned or cancelled call may still run before its process group is killed. */
const orphanWaitMs = 2_000;

/** Runs a network configuration's plugins for one attachment (spec, section 3), and keeps its record. */
export class Chain {
  readonly #invoker: Invoker;
  readonly #records: Attachments;
  readonly #log: NetworkLog;

  constructor(invoker: Invoker, records: Attachments, log: NetworkLog) {
    this.#invoker = invoker;
    this.#records = records;
    this.#log = log;
  }

  /** ADD in order. When one fails, DEL of all in reverse and the error of the one that failed. */
  async add(attachment: Attachment, signal: AbortSignal): Promise<CniResult> {
    let result: JsonObject | undefined;
    await using rollback = new Rollback((name, error) =>
      this.#log.warn({ err: error, sandbox: attachment.sandboxId }, `undo ${name}: ${messageOf(error)}`),
    );
    rollback.add('network', () => this.remove({ ...attachment, result }, { force: true }));
    await this.#records.save(attachment);
    for (const plugin of attachment.conflist.plugins)
      result = await this.#call('ADD', plugin, { ...attachment, result }, signal).then((value) =>
        needed(value, plugin),
      );
    const parsed = parseResult(result ?? {}, attachment.ifName, `network ${attachment.conflist.name}`);
    await this.#records.save({ ...attachment, state: 'added', result });
    rollback.keep();
    return parsed;
  }

  /**
   * DEL in reverse with the kept result, then the record goes. A failing plugin stops the chain, as the spec says;
   * `force` goes on with the others, so that one that cannot be undone keeps nobody else's address.
   */
  async remove(attachment: Attachment, options: { readonly force: boolean }): Promise<void> {
    const lockPath = await usableLock(attachment.lockPath);
    if (lockPath !== '') await this.#invoker.endOrphan(lockPath, orphanWaitMs);
    const now = { ...attachment, lockPath, netnsPath: await livingNetns(attachment.netnsPath) };
    const errors: unknown[] = [];
    for (const plugin of attachment.conflist.plugins.toReversed()) {
      await this.#call('DEL', plugin, now).catch((error: unknown) => errors.push(error));
      if (errors.length > 0 && !options.force) break;
    }
    if (errors.length > 0) throw errors[0];
    await this.#records.remove(attachment.sandboxId);
  }

  /** CHECK in order; nothing where the configuration's version has no CHECK or switches it off. */
  async check(attachment: Attachment): Promise<void> {
    const { conflist } = attachment;
    if (conflist.disableCheck || !knowsCheck(conflist.cniVersion)) return;
    for (const plugin of conflist.plugins) await this.#call('CHECK', plugin, attachment);
  }

  /** GC of every plugin; errors do not stop it and come back together. */
  async collect(conflist: Conflist, live: readonly Attachment[]): Promise<void> {
    const valid = live.map(({ sandboxId, ifName }) => ({ containerID: sandboxId, ifname: ifName }));
    // libcni 1.2 was released with the first name, the specification has the second.
    const added = { 'cni.dev/attachments': valid, 'cni.dev/valid-attachments': valid };
    const errors: string[] = [];
    for (const plugin of conflist.plugins) {
      const stdin = requestConfig(conflist, plugin, added);
      await this.#invoker
        .call({ command: 'GC', plugin: plugin.type, stdin })
        .catch((error: unknown) => errors.push(messageOf(error)));
    }
    if (errors.length > 0) throw within(`collect network ${conflist.name}`, new Error(errors.join('; ')));
  }

  #call(
    command: Command,
    plugin: PluginConf,
    attachment: Attachment,
    signal?: AbortSignal,
  ): Promise<JsonObject | undefined> {
    const { conflist, result } = attachment;
    const config = runtimeConfig(plugin, attachment.capabilityArgs);
    const sendsResult = result !== undefined && (command === 'ADD' || knowsCheck(conflist.cniVersion));
    const stdin = requestConfig(conflist, plugin, {
      ...(Object.keys(config).length > 0 ? { runtimeConfig: config } : {}),
      ...(sendsResult ? { prevResult: { ...result, cniVersion: conflist.cniVersion } } : {}),
    });
    return this.#invoker.call({ command, plugin: plugin.type, stdin, attachment, ...(signal ? { signal } : {}) });
  }
}

const needed = (value: JsonObject | undefined, plugin: PluginConf): JsonObject => {
  if (value === undefined) throw wrong(`cni ${plugin.type} ADD`, 'answered without a result');
  return value;
};
