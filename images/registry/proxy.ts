import { BlockList, isIP } from 'node:net';
import { BerthError } from '../../base/errors.ts';

/** A proxy by HTTP or HTTPS. `name` is its host, for errors: the URL may hold a password. */
export interface HttpProxy {
  readonly name: string;
  readonly url: URL;
  /** Proxy-Authorization. */
  readonly authorization: string | undefined;
}

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy for a URL, undefined for none: HTTP_PROXY, HTTPS_PROXY and NO_PROXY, also in lower case, as Go's programs
 * read them (golang.org/x/net/http/httpproxy). The loopback is never asked by proxy.
 */
export const proxyFor = (url: URL, environment: Environment): HttpProxy | undefined => {
  const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const text = variable(environment, name);
  if (text === '' || isLoopback(url.hostname) || isExempt(url, variable(environment, 'NO_PROXY'))) return undefined;
  return parseProxy(text, name);
};

const variable = (environment: Environment, name: string): string =>
  (environment[name] || environment[name.toLowerCase()] || '').trim();

const parseProxy = (text: string, name: string): HttpProxy => {
  const url = URL.parse(/^[a-z][a-z0-9+.-]*:\/\//i.test(text) ? text : `http://${text}`);
  if (url === null || url.hostname === '') throw new BerthError('failed-precondition', `${name} is not a URL`);
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw new BerthError('failed-precondition', `${name}: a proxy by ${url.protocol}// is not spoken to; http:// is`);
  const pair = [url.username, url.password].map(decoded).join(':');
  const authorization = url.username === '' ? undefined : `Basic ${Buffer.from(pair).toString('base64')}`;
  return { name: url.host, url, authorization };
};

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

const bare = (hostname: string): string => hostname.replace(/^\[|\]$/g, '').toLowerCase();
const portOf = (url: URL): string => url.port || (url.protocol === 'https:' ? '443' : '80');

const isLoopback = (hostname: string): boolean => {
  const host = bare(hostname);
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
};

const isExempt = (url: URL, list: string): boolean =>
  list
    .split(',')
    .map((entry) => entry.trim().toLowerCase())
    .some((entry) => entry !== '' && matches(entry, bare(url.hostname), portOf(url)));

const matches = (entry: string, host: string, port: string): boolean => {
  if (entry === '*') return true;
  if (entry.includes('/')) return isInRange(entry, host);
  const [name, wantedPort] = splitPort(entry);
  if (wantedPort !== undefined && wantedPort !== port) return false;
  if (isIP(name) !== 0 || isIP(host) !== 0) return isSameAddress(name, host);
  // `.example` and `*.example` are the names below it, `example` itself as well.
  const suffix = name.replace(/^\*/, '');
  return suffix.startsWith('.') ? host.endsWith(suffix) : host === suffix || host.endsWith(`.${suffix}`);
};

const splitPort = (entry: string): readonly [string, string | undefined] => {
  const [, six, four, port] = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(entry) ?? [];
  const name = six ?? four;
  return name === undefined ? [entry, undefined] : [name, port];
};

const isSameAddress = (one: string, other: string): boolean =>
  isIP(one) !== 0 && isIP(one) === isIP(other) && listOf(one, isIP(one) === 4 ? 32 : 128).check(other, family(other));

const isInRange = (entry: string, host: string): boolean => {
  const [, address = '', bits = ''] = /^([^/]+)\/(\d{1,3})$/.exec(entry) ?? [];
  if (isIP(address) === 0 || isIP(host) !== isIP(address) || Number(bits) > (isIP(address) === 4 ? 32 : 128))
    return false;
  return listOf(address, Number(bits)).check(host, family(host));
};

const family = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 4 ? 'ipv4' : 'ipv6');

const listOf = (address: string, bits: number): BlockList => {
  const list = new BlockList();
  list.addSubnet(address, bits, family(address));
  return list;
};
