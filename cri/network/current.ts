import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '../../base/errors.ts';
import { type Conflist, findConfig, loadConfig } from './conflist.ts';
import { writeEmbedded } from './embedded.ts';
import { findPlugin, type Invoker, requestConfig } from './invoke.ts';
import { stringsAt } from './json.ts';
import type { NodeCidr } from './node-cidr.ts';
import type { NetworkConfig, NetworkLog, NetworkStatus } from './types.ts';
import { chooseVersion, knowsGc, newestVersion } from './version.ts';

/** What new pods use; `conflist` is missing while there is nothing that could be tried. */
export interface Current {
  readonly status: NetworkStatus;
  readonly conflist: Conflist | undefined;
  /** True for the default network of Berth's own. */
  readonly embedded: boolean;
}

interface Found {
  readonly conflist: Conflist;
  readonly embedded: boolean;
}

/** kubelet's users know this beginning from other runtimes, and search for it. */
const notReady = (source: string, why: string): Current => ({
  status: {
    ready: false,
    reason: 'NetworkPluginNotReady',
    message: `Network plugin returns error: cni plugin not initialized: ${why}`,
    source,
  },
  conflist: undefined,
  embedded: false,
});

export const notLookedYet: Current = notReady('none', 'the configuration has not been read yet');

/** Who has a template wants its network, and no other before the CIDR is known. */
const hasEmbedded = ({ embeddedSubnet, confTemplate }: NetworkConfig): boolean =>
  embeddedSubnet !== 'none' && confTemplate === '';

const programsOf = (conflist: Conflist): readonly string[] => [
  ...new Set(conflist.plugins.flatMap(({ type, ipamType }) => (ipamType === undefined ? [type] : [type, ipamType]))),
];

/** Finds out which network configuration holds, whether its plugins are there, and what they say of themselves. */
export class Chooser {
  readonly #invoker: Invoker;
  readonly #config: NetworkConfig;
  readonly #directory: string;
  readonly #log: NetworkLog;
  readonly #node: NodeCidr;
  /** Supported versions by the program's path and change time: a plugin is asked once. */
  readonly #versions = new Map<string, readonly string[] | undefined>();

  constructor(invoker: Invoker, config: NetworkConfig, directory: string, node: NodeCidr, log: NetworkLog) {
    this.#node = node;
    this.#invoker = invoker;
    this.#config = config;
    this.#directory = directory;
    this.#log = log;
  }

  async choose(): Promise<Current> {
    let source = 'none';
    try {
      const path = await findConfig(this.#config.confDir);
      source = path ?? (hasEmbedded(this.#config) ? 'embedded' : 'none');
      const found = await this.#load(path);
      if (found === undefined) return notReady(source, this.#nothing());
      return await this.#probe(found, source);
    } catch (error) {
      return notReady(source, messageOf(error));
    }
  }

  async #load(path: string | undefined): Promise<Found | undefined> {
    if (path !== undefined) return { conflist: await loadConfig(path, this.#config.confDir), embedded: false };
    if (!hasEmbedded(this.#config)) return undefined;
    const directory = join(this.#directory, 'embedded');
    return { conflist: await writeEmbedded(this.#config, directory, this.#node.kept), embedded: true };
  }

  #nothing(): string {
    const { confDir, confTemplate } = this.#config;
    const missing = `no network configuration in ${confDir}`;
    return confTemplate === '' ? missing : `${missing}, and ${confTemplate} waits for the node's pod CIDR`;
  }

  async #probe({ conflist, embedded }: Found, source: string): Promise<Current> {
    const programs = await this.#programs(conflist);
    const missing = programs.filter(({ path }) => path === undefined).map(({ type }) => type);
    if (missing.length > 0) return notReady(source, this.#missing(missing, embedded));
    const supported = await Promise.all(programs.map(({ type, path }) => this.#supported(type, path ?? '')));
    const cniVersion = chooseVersion(
      conflist.versions,
      supported.filter((list) => list !== undefined),
    );
    if (cniVersion === undefined) return notReady(source, noVersion(conflist, programs, supported));
    const chosen = { conflist: { ...conflist, cniVersion }, embedded };
    const no = await this.#ask(chosen.conflist);
    // STATUS only informs: pods that come all the same are still tried (spec, "STATUS").
    if (no !== undefined) return { ...notReady(source, no), ...chosen };
    return { status: { ready: true, reason: '', message: '', source }, ...chosen };
  }

  #programs(conflist: Conflist): Promise<readonly { readonly type: string; readonly path: string | undefined }[]> {
    return Promise.all(
      programsOf(conflist).map(async (type) => ({ type, path: await findPlugin(type, this.#config.binDirs) })),
    );
  }

  #missing(types: readonly string[], embedded: boolean): string {
    const plugins = `plugin ${types.join(', ')} not found in ${this.#config.binDirs.join(', ')}`;
    return embedded
      ? `no network configuration in ${this.#config.confDir}, and for the default network ${plugins}: install containernetworking-plugins`
      : plugins;
  }

  /** VERSION of a plugin. One that does not answer it is not held to anything: its ADD will say what it thinks. */
  async #supported(type: string, path: string): Promise<readonly string[] | undefined> {
    const info = await stat(path);
    const key = `${path}:${info.ino}:${info.mtimeMs}:${info.size}`;
    if (!this.#versions.has(key)) this.#versions.set(key, await this.#askVersion(type));
    return this.#versions.get(key);
  }

  async #askVersion(type: string): Promise<readonly string[] | undefined> {
    try {
      const answer = await this.#invoker.call({
        command: 'VERSION',
        plugin: type,
        stdin: { cniVersion: newestVersion },
      });
      const versions = stringsAt(answer ?? {}, 'supportedVersions', `cni ${type} VERSION`);
      return versions.length === 0 ? undefined : versions;
    } catch (error) {
      this.#log.warn({ plugin: type, err: error }, `plugin ${type} does not tell its CNI versions`);
      return undefined;
    }
  }

  /** STATUS (CNI 1.1) of every plugin: what the first that is not ready says. */
  async #ask(conflist: Conflist): Promise<string | undefined> {
    if (!knowsGc(conflist.cniVersion)) return undefined;
    for (const plugin of conflist.plugins) {
      const stdin = requestConfig(conflist, plugin, {});
      const no = await this.#invoker
        .call({ command: 'STATUS', plugin: plugin.type, stdin })
        .then(() => undefined, messageOf);
      if (no !== undefined) return no;
    }
    return undefined;
  }
}

const noVersion = (
  conflist: Conflist,
  programs: readonly { readonly type: string }[],
  supported: readonly (readonly string[] | undefined)[],
): string => {
  const lists = programs.map(({ type }, index) => `${type} knows ${supported[index]?.join(' ') ?? 'any'}`);
  return `${conflist.source}: no plugin chain for CNI ${conflist.versions.join(', ')}: ${lists.join('; ')}`;
};
