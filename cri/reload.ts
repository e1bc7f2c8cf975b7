import { messageOf, within } from '../base/errors.ts';
import type { Images } from '../images/index.ts';
import { type Change, changesOf, inWords, reloaded } from './config/changes.ts';
import { type Config, type Loaded, passedOverInWords } from './config/index.ts';
import type { LiveRuntime } from './live.ts';
import type { Log } from './log.ts';
import { imageOptions, networkConfig } from './options.ts';
import type { ServiceManager } from './service/service-manager.ts';
import { sessionLimits } from './stream/open.ts';

export interface Reloaded {
  readonly changes: readonly Change[];
  readonly files: readonly string[];
}

/** How the configuration is read, and where the log's level is set. */
export interface ReloadOptions {
  readonly read: () => Promise<Loaded>;
  readonly setLevel: (level: Config['log_level']) => void;
  readonly log: Log;
}

/** Who tells systemd. */
type Manager = Pick<ServiceManager, 'reloading' | 'reloaded'>;

/** Puts a configuration in force while calls go on. */
export class Reloads {
  readonly #live: LiveRuntime;
  readonly #manager: Manager;
  readonly #options: ReloadOptions;
  #last: Promise<unknown> = Promise.resolve();

  constructor(live: LiveRuntime, manager: Manager, options: ReloadOptions) {
    this.#live = live;
    this.#manager = manager;
    this.#options = options;
  }

  /** One after the other. Throws when a file is wrong, and the configuration that holds stays; the log has it either way. */
  run(): Promise<Reloaded> {
    const result = this.#last.then(() => this.#attempt());
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #attempt(): Promise<Reloaded> {
    const { log, read } = this.#options;
    await this.#manager.reloading();
    try {
      const { config, files, passedOver } = await read();
      for (const file of passedOver) log.warn({ file }, `configuration: ${passedOverInWords(file)}`);
      const changes = await this.#apply(config);
      this.#live.runtime.metrics.reloads.inc({ result: 'ok' });
      log.info({ files, changes: changes.length }, `configuration reloaded, ${changes.length} changes`);
      return { changes, files };
    } catch (error) {
      this.#live.runtime.metrics.reloads.inc({ result: 'error' });
      log.error({ error: messageOf(error) }, `configuration not reloaded, the old one holds: ${messageOf(error)}`);
      throw within('reload the configuration', error);
    } finally {
      await this.#manager.reloaded();
    }
  }

  /** All that can fail comes first; then everything changes in one turn of the event loop. */
  async #apply(read: Config): Promise<readonly Change[]> {
    const { runtime } = this.#live;
    const { config: held, images, network, streaming } = runtime;
    const changes = changesOf(held, read);
    const next = reloaded(held, read);
    const isChanged = (...tables: readonly string[]): boolean =>
      changes.some(({ key, needsRestart }) => !needsRestart && tables.includes(key.split('.')[0] ?? ''));
    // The policy's own files may have changed as well.
    const isOther = isChanged('registry', 'images') || next.images.policy !== '' || next.images.policy_dir !== '';
    const commitImages = isOther ? await prepareImages(images, next) : undefined;
    this.#tell(changes, held.log_level, next.log_level);
    commitImages?.();
    streaming.limit(sessionLimits(next.streaming));
    this.#live.replace(next);
    if (isChanged('network')) await network.reconfigure(networkConfig(next));
    return changes;
  }

  /** Before a level that hides it, and after one that did. */
  #tell(changes: readonly Change[], held: Config['log_level'], next: Config['log_level']): void {
    const { log, setLevel } = this.#options;
    const isQuieter = levels.indexOf(next) > levels.indexOf(held);
    if (!isQuieter) setLevel(next);
    for (const change of changes) log[change.needsRestart ? 'warn' : 'info']({ ...change }, inWords(change));
    if (isQuieter) setLevel(next);
  }
}

const levels: readonly Config['log_level'][] = ['debug', 'info', 'warn', 'error'];

const prepareImages = (images: Images, next: Config): Promise<() => void> => {
  const options = imageOptions(next);
  return images.prepare(options.registry, options.images);
};
