import { validateHeaderName, validateHeaderValue } from 'node:http';
import { invalid } from '../../../base/errors.ts';
import type { Raw } from './toml.ts';

/** Readers of single values of hosts.toml; each throws invalid-argument that says what is wanted and what was found. */

/** What a host is asked for. `referrers` is known and not used: Berth asks nobody for them. */
export type Capability = 'pull' | 'resolve' | 'push' | 'referrers';
export const allCapabilities: ReadonlySet<Capability> = new Set(['pull', 'resolve', 'push', 'referrers']);

const found = (raw: Raw): string => {
  if (Array.isArray(raw)) return 'a list';
  if (typeof raw === 'object') return 'unfit' in raw ? raw.unfit : 'a list';
  return typeof raw === 'string' ? JSON.stringify(raw.slice(0, 200)) : String(raw);
};

const wanted = (what: string, raw: Raw): Error => invalid(`wants ${what}, not ${found(raw)}`);

export const textOf = (raw: Raw, what: string): string => {
  if (typeof raw !== 'string') throw wanted(what, raw);
  if (/\p{Cc}/u.test(raw)) throw invalid(`has a control character: ${found(raw)}`);
  return raw;
};

const listOf = (raw: Raw, what: string): readonly Raw[] => {
  if (!isList(raw)) throw wanted(what, raw);
  return raw;
};
const isList = (raw: Raw): raw is readonly Raw[] => Array.isArray(raw);

export const booleanOf = (raw: Raw): boolean => {
  if (typeof raw !== 'boolean') throw wanted('true or false', raw);
  return raw;
};

/** An empty list means all, as in containerd. */
export const capabilitiesOf = (raw: Raw): ReadonlySet<Capability> => {
  const names = [...allCapabilities].join(', ');
  const items = listOf(raw, `a list of ${names}`).map((item) => {
    const name = textOf(item, `one of ${names}`).toLowerCase();
    const capability = [...allCapabilities].find((one) => one === name);
    if (capability === undefined) throw wanted(`one of ${names}`, item);
    return capability;
  });
  return items.length === 0 ? allCapabilities : new Set(items);
};

const pathOf = (raw: Raw): string => {
  const path = textOf(raw, 'a path');
  if (path === '') throw wanted('a path', raw);
  return path;
};

/** A path or a list of paths. */
export const pathsOf = (raw: Raw): readonly string[] =>
  typeof raw === 'string' ? [pathOf(raw)] : listOf(raw, 'a path or a list of paths').map(pathOf);

/** A certificate and where its key is: the same file where that is "" or not told. */
export interface PairPaths {
  readonly certificate: string;
  readonly key: string;
}

/** A path, a list of paths, or a list of pairs; the kinds may be mixed. */
export const pairsOf = (raw: Raw): readonly PairPaths[] => {
  const what = 'a path, a list of paths, or a list of pairs [certificate, key]';
  return (typeof raw === 'string' ? [raw] : listOf(raw, what)).map((item) => {
    if (typeof item === 'string') return { certificate: pathOf(item), key: pathOf(item) };
    const pair = listOf(item, what);
    const [certificate, key] = pair;
    if (pair.length !== 2 || certificate === undefined || key === undefined)
      throw invalid(`wants pairs of two paths, not ${pair.length}`);
    return { certificate: pathOf(certificate), key: textOf(key, what) || pathOf(certificate) };
  });
};

/** They decide how a message is read: a second one of them would break it. */
const own = ['host', 'content-length', 'transfer-encoding', 'connection', 'range', 'accept-encoding', 'upgrade'];

/** The value stays out of the error: it may be a secret. */
export const headerOf = (name: string, raw: Raw): readonly string[] => {
  try {
    validateHeaderName(name);
  } catch {
    throw invalid(`${JSON.stringify(name.slice(0, 100))} is no name of a header`);
  }
  if (own.includes(name.toLowerCase())) throw invalid('is a header that Berth sets itself');
  const items = typeof raw === 'string' ? [raw] : isList(raw) ? raw : undefined;
  const texts = items?.filter((item) => typeof item === 'string');
  if (items === undefined || texts?.length !== items.length || texts.length === 0)
    throw invalid(`wants text or a list of texts${typeof raw === 'string' ? '' : `, not ${found(raw)}`}`);
  for (const text of texts) checkValue(name, text);
  return texts;
};

const checkValue = (name: string, text: string): void => {
  try {
    validateHeaderValue(name, text);
  } catch {
    throw invalid('has a character that no header may have');
  }
};

const units: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};
const part = /(\d{1,9}(?:\.\d{1,9})?)(ns|us|µs|μs|ms|s|m|h)/gy;

/** Go's form of a duration, in ms: `1s`, `1m30s`, `500ms`. "" and "0" leave the default, which is undefined. */
export const durationOf = (raw: Raw): number | undefined => {
  const what = 'a time such as "5s" or "500ms"';
  const text = textOf(raw, what);
  if (text === '' || /^0+$/.test(text)) return undefined;
  const matches = [...text.matchAll(part)];
  const length = matches.reduce((sum, [whole]) => sum + whole.length, 0);
  if (length !== text.length) throw wanted(what, raw);
  const ms = matches.reduce((sum, [, number, unit]) => sum + Number(number) * (units[unit ?? ''] ?? 0), 0);
  if (ms > 3_600_000) throw wanted('a time of an hour at most', raw);
  return ms === 0 ? undefined : Math.max(1, Math.round(ms));
};

/**
 * The API's root of a host: `https://mirror/us` → `https://mirror/us/v2/`, and the path as it stands with
 * `override_path`. Without a scheme it is https, as in containerd.
 */
export const baseOf = (text: string, overridesPath: boolean): URL => {
  const what = 'a URL such as "https://mirror.example"';
  const url = URL.parse(/^https?:\/\//i.test(text) ? text : `https://${text}`);
  if (url === null || url.hostname === '' || (/^[a-z]+:\/\//i.test(text) && !/^https?:/i.test(text)))
    throw wanted(what, withoutUser(text));
  if (url.username !== '' || url.password !== '')
    throw invalid(`${url.host}: has a user in its URL; credentials do not belong here`);
  if (url.search !== '' || url.hash !== '') throw invalid(`${url.host}: has a query or a fragment in its URL`);
  const path = url.pathname.replaceAll(/\/+/g, '/').replace(/\/$/, '');
  url.pathname = overridesPath || path.endsWith('/v2') ? `${path}/` : `${path}/v2/`;
  // Docker Hub's API is at another host than its name.
  if (url.host === 'docker.io') url.host = 'registry-1.docker.io';
  return url;
};

const withoutUser = (text: string): string => text.replace(/\/\/[^/]*@/, '//');
