import { messageOf, notFound } from '../../base/errors.ts';
import { readLimited } from '../../base/files.ts';
import { Flights } from '../../base/locks.ts';
import type { Helper, Log } from '../types.ts';
import { CredentialPrograms } from './credential-program.ts';
import { DockerConfig } from './docker-config.ts';
import { askHelper } from './docker-helper.ts';
import type { Candidate, Candidates, Keyring } from './keyring.ts';
import { Provider } from './provider.ts';
import { parseProviders } from './provider-config.ts';
import { untilGone } from './until-gone.ts';

export interface CredentialSettings {
  /** Path of a Docker `config.json`; "" for none. */
  readonly dockerConfig: string;
  /** Path of a CredentialProviderConfig of the kubelet; "" for none. */
  readonly providerConfig: string;
  /** Where plugins and `docker-credential-*` are looked for, in this order. */
  readonly binDirs: readonly string[];
}

const fileLimit = 1 << 20;

/**
 * The node's own credentials: of the Docker configuration (the helper of the host, `auths` with the most specific first,
 * the store), then of the kubelet's plugins in the order of their configuration. Both files are read anew when they
 * have changed. A source that fails is a problem and a line in the log, and the others count.
 */
export class NodeKeyring implements Keyring {
  readonly #settings: CredentialSettings;
  readonly #programs: CredentialPrograms;
  readonly #log: Log;
  /** Pulls that need the same at once ask once. */
  readonly #flights = new Flights<Candidates>();
  #providers: { readonly text: Buffer; readonly list: readonly Provider[] } | undefined;

  constructor(settings: CredentialSettings, helper: Helper, log: Log) {
    this.#settings = settings;
    this.#programs = new CredentialPrograms(helper, settings.binDirs);
    this.#log = log;
  }

  async credentialsFor(host: string, repository: string, signal: AbortSignal): Promise<Candidates> {
    signal.throwIfAborted();
    // Not by the caller's signal: others may wait for the same, and the programs are bounded in time.
    const never = new AbortController().signal;
    const flight = this.#flights.join(`${host}/${repository}`, () => this.#lookUp(host, repository, never));
    return untilGone(flight, signal);
  }

  async #lookUp(host: string, repository: string, signal: AbortSignal): Promise<Candidates> {
    const results = [
      ...(await this.#ofDocker(host, repository, signal)),
      ...(await this.#ofProviders(host, repository, signal)),
    ];
    const problems = results.filter((one) => typeof one === 'string');
    for (const problem of problems) this.#log.warn({ host, repository, problem }, 'credentials cannot be looked up');
    return { list: results.filter((one) => typeof one !== 'string'), problems };
  }

  async #ofDocker(host: string, repository: string, signal: AbortSignal): Promise<readonly (Candidate | string)[]> {
    const path = this.#settings.dockerConfig;
    if (path === '') return [];
    const config = await attempt(async () => new DockerConfig(await readConfig(path), path));
    if (typeof config === 'string') return [config];
    const { helper, entries, store } = config.answersFor(host, repository);
    const found = entries.map(({ key, credentials }) => ({ credentials, source: `${key} in ${path}` }));
    const ask = (name: string | undefined) => (name === undefined ? [] : this.#ofHelper(name, host, signal));
    return [...(await ask(helper)), ...found, ...(await ask(store)), ...config.problems];
  }

  async #ofHelper(name: string, host: string, signal: AbortSignal): Promise<readonly (Candidate | string)[]> {
    const credentials = await attempt(() => askHelper(this.#programs, name, host, signal));
    if (typeof credentials === 'string') return [credentials];
    return credentials.kind === 'none' ? [] : [{ credentials, source: `docker-credential-${name}` }];
  }

  async #ofProviders(host: string, repository: string, signal: AbortSignal): Promise<readonly (Candidate | string)[]> {
    const providers = await attempt(() => this.#loadProviders());
    if (typeof providers === 'string') return [providers];
    const answers = providers.map(async (provider): Promise<readonly (Candidate | string)[]> => {
      const list = await attempt(() => provider.credentialsFor(host, repository, signal));
      if (typeof list === 'string') return [list];
      return list.map((credentials) => ({ credentials, source: provider.name }));
    });
    return (await Promise.all(answers)).flat();
  }

  /** What plugins have answered is kept until the file changes. */
  async #loadProviders(): Promise<readonly Provider[]> {
    const path = this.#settings.providerConfig;
    if (path === '') return [];
    const text = await readConfig(path);
    if (this.#providers?.text.equals(text) !== true) {
      const list = parseProviders(text, path).map((config) => new Provider(config, this.#programs));
      this.#providers = { text, list };
    }
    return this.#providers?.list ?? [];
  }
}

const readConfig = async (path: string): Promise<Buffer> => {
  const bytes = await readLimited(path, fileLimit);
  if (bytes === undefined) throw notFound(`${path}: no such file`);
  return bytes;
};

/** The result, or what went wrong. */
const attempt = async <T>(action: () => Promise<T>): Promise<T | string> => {
  try {
    return await action();
  } catch (error) {
    return messageOf(error);
  }
};
