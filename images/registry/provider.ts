import { BerthError, invalid } from '../../base/errors.ts';
import { type JsonObject, objectField, parseObject, textField } from '../json.ts';
import type { CredentialPrograms } from './credential-program.ts';
import type { Credentials } from './credentials.ts';
import { parseDuration } from './duration.ts';
import { bySpecificity, type ImagePattern, matches, parsePattern } from './image-pattern.ts';
import type { ProviderConfig } from './provider-config.ts';

interface Entry {
  readonly pattern: ImagePattern;
  readonly credentials: Credentials;
}

interface Answer {
  readonly entries: readonly Entry[];
  readonly cacheKey: string;
  readonly cacheMs: number;
}

/** Answers that are kept; a plugin that answers by image is asked for more images than this on no node. */
const mostKept = 1000;

/** A credential provider plugin of the kubelet (credentialprovider.kubelet.k8s.io), by its exec protocol. */
export class Provider {
  readonly #config: ProviderConfig;
  readonly #programs: CredentialPrograms;
  readonly #kept = new Map<string, { readonly entries: readonly Entry[]; readonly until: number }>();

  constructor(config: ProviderConfig, programs: CredentialPrograms) {
    this.#config = config;
    this.#programs = programs;
  }

  get name(): string {
    return this.#config.name;
  }

  /** Nothing when the plugin is not for this image. Errors hold no secret. */
  async credentialsFor(host: string, repository: string, signal: AbortSignal): Promise<readonly Credentials[]> {
    if (!this.#config.patterns.some((pattern) => matches(pattern, host, repository))) return [];
    const image = `${host}/${repository}`;
    const entries = this.#keptFor(image, host) ?? (await this.#ask(image, host, signal));
    const fitting = entries.filter(({ pattern }) => matches(pattern, host, repository));
    return fitting.toSorted((a, b) => bySpecificity(a.pattern, b.pattern)).map(({ credentials }) => credentials);
  }

  #keptFor(image: string, host: string): readonly Entry[] | undefined {
    const keys = [keyOf('Image', image, host), keyOf('Registry', image, host), keyOf('Global', image, host)];
    return keys.map((key) => this.#kept.get(key)).find((kept) => kept !== undefined && kept.until > performance.now())
      ?.entries;
  }

  async #ask(image: string, host: string, signal: AbortSignal): Promise<readonly Entry[]> {
    const { name, args, env, apiVersion } = this.#config;
    const stdin = JSON.stringify({ apiVersion, kind: 'CredentialProviderRequest', image });
    const { code, stdout } = await this.#programs.run({ name, args, env, stdin, signal });
    if (code !== 0) throw new BerthError('unavailable', `${name}: ends with ${code}`);
    const answer = this.#read(stdout, image, host);
    if (answer.cacheMs > 0) this.#keep(answer);
    return answer.entries;
  }

  #read(stdout: Buffer, image: string, host: string): Answer {
    const { name, apiVersion, defaultCacheMs } = this.#config;
    const body = parsed(stdout, name);
    const what = `the answer of ${name}`;
    if (body.kind !== 'CredentialProviderResponse' || body.apiVersion !== apiVersion)
      throw invalid(`${what} is no CredentialProviderResponse of ${apiVersion}`);
    const type = body.cacheKeyType;
    if (type !== 'Image' && type !== 'Registry' && type !== 'Global')
      throw invalid(`${what} has a cacheKeyType that is not Image, Registry or Global`);
    const told = textField(body, 'cacheDuration', what);
    // What is no duration, or a negative one, is not kept.
    const cacheMs = told === '' ? defaultCacheMs : (parseDuration(told) ?? 0);
    return {
      entries: entriesOf(objectField(body, 'auth', what) ?? {}, what),
      cacheKey: keyOf(type, image, host),
      cacheMs,
    };
  }

  #keep({ entries, cacheKey, cacheMs }: Answer): void {
    const now = performance.now();
    for (const [key, { until }] of this.#kept) if (until <= now) this.#kept.delete(key);
    const [oldest] = this.#kept.keys();
    if (this.#kept.size >= mostKept && oldest !== undefined) this.#kept.delete(oldest);
    this.#kept.set(cacheKey, { entries, until: now + cacheMs });
  }
}

const keyOf = (type: 'Image' | 'Registry' | 'Global', image: string, host: string): string =>
  ({ Image: `Image ${image}`, Registry: `Registry ${host}`, Global: 'Global' })[type];

const parsed = (stdout: Buffer, name: string): JsonObject => {
  try {
    return parseObject(stdout, name);
  } catch {
    // The parser's error quotes what it has read.
    throw invalid(`the answer of ${name} is no JSON object`);
  }
};

const entriesOf = (auth: JsonObject, what: string): readonly Entry[] =>
  Object.keys(auth).flatMap((key): Entry[] => {
    const pattern = parsePattern(key);
    const item = objectField(auth, key, what);
    if (pattern === undefined || item === undefined) return [];
    const username = textField(item, 'username', what);
    const password = textField(item, 'password', what);
    return [{ pattern, credentials: { kind: 'password', username, password } }];
  });
