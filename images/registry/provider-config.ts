import { invalid } from '../../base/errors.ts';
import { isObject, type JsonObject, objectsField, parseObject, textField, textsField } from '../json.ts';
import { parseDuration } from './duration.ts';
import { type ImagePattern, parsePattern } from './image-pattern.ts';
import { parseYaml } from './yaml.ts';

/** One entry of the kubelet's CredentialProviderConfig. */
export interface ProviderConfig {
  readonly name: string;
  readonly patterns: readonly ImagePattern[];
  readonly defaultCacheMs: number;
  /** Of request and response. */
  readonly apiVersion: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

const configVersions = ['v1', 'v1beta1', 'v1alpha1'].map((version) => `kubelet.config.k8s.io/${version}`);
const apiVersions = ['v1', 'v1beta1', 'v1alpha1'].map((version) => `credentialprovider.kubelet.k8s.io/${version}`);

/** The file that the kubelet reads (--image-credential-provider-config), JSON or YAML. Throws invalid-argument. */
export const parseProviders = (bytes: Buffer, what: string): readonly ProviderConfig[] => {
  const text = bytes.toString('utf8').trimStart();
  const body = text.startsWith('{') ? parseObject(bytes, what) : parseYaml(text, what);
  if (!isObject(body)) throw invalid(`${what}: not a CredentialProviderConfig`);
  if (textField(body, 'kind', what) !== 'CredentialProviderConfig')
    throw invalid(`${what}: kind is not CredentialProviderConfig`);
  oneOf(textField(body, 'apiVersion', what), configVersions, `${what}: apiVersion`);
  const providers = (objectsField(body, 'providers', what) ?? []).map((item, at) =>
    readProvider(item, `${what}: providers[${at}]`),
  );
  const names = providers.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) throw invalid(`${what}: two providers are called ${JSON.stringify(twice)}`);
  return providers;
};

const oneOf = (value: string, choices: readonly string[], what: string): string => {
  if (!choices.includes(value)) throw invalid(`${what} is ${JSON.stringify(value)}, not one of ${choices.join(', ')}`);
  return value;
};

const readProvider = (item: JsonObject, what: string): ProviderConfig => {
  // Pulls come without a pod, so there is no service account to give a token of.
  if (Object.hasOwn(item, 'tokenAttributes'))
    throw invalid(`${what}: tokenAttributes: only the kubelet has service account tokens; leave this provider to it`);
  const cache = parseDuration(textField(item, 'defaultCacheDuration', what));
  if (cache === undefined) throw invalid(`${what}: defaultCacheDuration is not a duration such as "12h"`);
  const images = textsField(item, 'matchImages', what);
  if (images.length === 0) throw invalid(`${what}: matchImages is empty`);
  return {
    name: textField(item, 'name', what),
    patterns: images.map((text) => readPattern(text, what)),
    defaultCacheMs: cache,
    apiVersion: oneOf(textField(item, 'apiVersion', what), apiVersions, `${what}: apiVersion`),
    args: textsField(item, 'args', what),
    env: Object.fromEntries(
      (objectsField(item, 'env', what) ?? []).map((one) => [
        textField(one, 'name', what),
        textField(one, 'value', what),
      ]),
    ),
  };
};

const readPattern = (text: string, what: string): ImagePattern => {
  const pattern = parsePattern(text);
  if (pattern === undefined) throw invalid(`${what}: matchImages: ${JSON.stringify(text)} is not host[:port][/path]`);
  return pattern;
};
