import { invalid } from '../../base/errors.ts';
import { type JsonObject, objectField, parseObject, textField, textMapField } from '../json.ts';
import { type Credentials, readCredentials } from './credentials.ts';
import { bySpecificity, type ImagePattern, matches, parsePattern } from './image-pattern.ts';

/** What a Docker `config.json` says for one repository. */
export interface DockerAnswers {
  /** The name behind `docker-credential-` of the helper for this host alone, which comes before all others. */
  readonly helper: string | undefined;
  /** From `auths`, the most specific first, with the key of each. */
  readonly entries: readonly { readonly key: string; readonly credentials: Credentials }[];
  /** The helper for all hosts (`credsStore`), which comes last. */
  readonly store: string | undefined;
}

interface Entry {
  readonly pattern: ImagePattern;
  readonly credentials: Credentials;
}

/** A `config.json` of Docker, containers-auth.json of podman, or .dockerconfigjson of a Secret; all have this form. */
export class DockerConfig {
  readonly #entries: readonly Entry[];
  readonly #helpers: readonly { readonly pattern: ImagePattern; readonly name: string }[];
  readonly #store: string | undefined;
  /** Keys that cannot be used, and why. */
  readonly problems: readonly string[];

  /** Throws invalid-argument for what is no such file; one bad entry does not spoil the others. */
  constructor(bytes: Uint8Array, what: string) {
    const body = parsed(bytes, what);
    const problems: string[] = [];
    const auths = Object.entries(objectField(body, 'auths', what) ?? {});
    this.#entries = auths.flatMap(([key, value], at) => {
      try {
        return readEntry(key, value);
      } catch {
        // The cause may hold a part of the secret, and so may a key that is no address (user:password@host).
        const name = parsePattern(key) === undefined ? `entry ${at + 1} of auths` : `auths[${JSON.stringify(key)}]`;
        problems.push(`${what}: ${name} cannot be used`);
        return [];
      }
    });
    this.#entries = this.#entries.toSorted((a, b) => bySpecificity(a.pattern, b.pattern));
    this.#helpers = Object.entries(textMapField(body, 'credHelpers', what)).flatMap(([key, name]) => {
      const pattern = parsePattern(key);
      return pattern === undefined ? [] : [{ pattern, name }];
    });
    this.#store = textField(body, 'credsStore', what) || undefined;
    this.problems = problems;
  }

  answersFor(host: string, repository: string): DockerAnswers {
    const entries = this.#entries.filter(({ pattern }) => matches(pattern, host, repository));
    return {
      helper: this.#helpers.find(({ pattern }) => matches(pattern, host, repository))?.name,
      entries: entries.map(({ pattern, credentials }) => ({ key: pattern.text, credentials })),
      store: this.#store,
    };
  }
}

const parsed = (bytes: Uint8Array, what: string): JsonObject => {
  try {
    return parseObject(bytes, what);
  } catch {
    // The parser's error quotes what it has read.
    throw invalid(`${what}: not a JSON object`);
  }
};

/** None for an entry without content: Docker leaves such ones for hosts whose credentials a helper has. */
const readEntry = (key: string, value: unknown): readonly Entry[] => {
  const pattern = parsePattern(key);
  if (pattern === undefined) throw invalid('not an address');
  const what = 'auths';
  const entry: JsonObject = objectField({ value }, 'value', what) ?? {};
  const identityToken = textField(entry, 'identitytoken', what);
  const registryToken = textField(entry, 'registrytoken', what);
  const pair = { username: textField(entry, 'username', what), password: textField(entry, 'password', what) };
  const auth = textField(entry, 'auth', what);
  // What programs write that know one form beside what others have left: Docker and the kubelet read `auth` alone then.
  const own = auth === '' ? pair : { auth };
  const credentials = readCredentials({ ...own, identityToken, registryToken }, 'any.example');
  return credentials.kind === 'none' ? [] : [{ pattern, credentials }];
};
