import { isIPv6 } from 'node:net';
import { type Digest, digestForms, isDigest } from '../base/digest.ts';
import { type BerthError, invalid } from '../base/errors.ts';

/** A reference by the distribution grammar, normalised: the host and, for docker.io, `library/` are always there. */
export interface Reference {
  /** `docker.io`, `registry.example:5000`, `[::1]:5000` */
  readonly host: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

/** Of the repository without its host, as the distribution grammar counts. */
const longestRepository = 255;
/** As DNS has it. */
const longestHost = 253;
const label = '[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?';
const hostPattern = new RegExp(`^(?:${label}(?:\\.${label})*|\\[[0-9a-f:]+\\])(?::(\\d{1,5}))?$`);
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const pathPattern = new RegExp(`^${component}(?:/${component})*$`);
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

/**
 * Reads `[host[:port]/]path[:tag][@digest]`. Without tag and digest the tag is `latest`; with both the digest decides
 * and the tag is dropped, so that a name always says which image it is. Throws invalid-argument with the reason.
 */
export const parseReference = (text: string): Reference => {
  // It would otherwise be fetched as a repository of that name.
  if (/^[0-9a-f]{64}$/.test(text)) throw bad(text, 'a name of 64 hex characters is an image id');
  const [name, tag, digest] = split(text);
  const [host, repository] = normalise(text, name);
  checkHost(text, host);
  checkRepository(text, repository);
  if (tag !== undefined && !tagPattern.test(tag)) throw bad(text, `tag ${quote(tag)} is not 1 to 128 of A-Za-z0-9_.-`);
  if (digest !== undefined && !isDigest(digest)) throw bad(text, `digest ${quote(digest)} is not ${digestForms}`);
  if (digest !== undefined) return { host, repository, digest };
  return { host, repository, tag: tag ?? 'latest' };
};

/** `host/repository` */
export const nameOf = (reference: Reference): string => `${reference.host}/${reference.repository}`;

/** The one normalised spelling; equal exactly when the references are. */
export const formatReference = (reference: Reference): string =>
  reference.digest === undefined
    ? `${nameOf(reference)}:${reference.tag ?? 'latest'}`
    : `${nameOf(reference)}@${reference.digest}`;

const split = (text: string): [string, string | undefined, string | undefined] => {
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : text.slice(at + 1);
  const rest = at < 0 ? text : text.slice(0, at);
  const colon = rest.lastIndexOf(':');
  // A colon before the last slash is a port.
  if (colon < 0 || rest.includes('/', colon)) return [rest, undefined, digest];
  return [rest.slice(0, colon), rest.slice(colon + 1), digest];
};

const normalise = (text: string, name: string): [string, string] => {
  if (name === '') throw bad(text, 'it has no name');
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const isHost = slash > 0 && (/[A-Z]/.test(first) || looksLikeHost(first));
  const host = isHost ? hostOf(first) : 'docker.io';
  const path = isHost ? name.slice(slash + 1) : name;
  if (host !== 'docker.io' && host !== 'index.docker.io') return [host, path];
  return ['docker.io', path.includes('/') ? path : `library/${path}`];
};

const looksLikeHost = (text: string): boolean => /[.:[]/.test(text) || text === 'localhost';

/** In lower case, but where that alone tells it from a user of Docker Hub. */
const hostOf = (text: string): string => (looksLikeHost(text.toLowerCase()) ? text.toLowerCase() : text);

const checkHost = (text: string, host: string): void => {
  const match = hostPattern.exec(host);
  if (match === null) throw bad(text, `host ${quote(host)} is not a host name, an address or host:port`);
  if (host.length > longestHost) throw bad(text, `its host is longer than ${longestHost} characters`);
  const address = /^\[(.*)\]/.exec(host)?.[1];
  if (address !== undefined && !isIPv6(address)) throw bad(text, `${quote(address)} is no IPv6 address`);
  const port = match[1] === undefined ? 1 : Number(match[1]);
  if (port < 1 || port > 65535) throw bad(text, `port ${port} is not within 1 to 65535`);
};

const checkRepository = (text: string, repository: string): void => {
  if (/[A-Z]/.test(repository)) throw bad(text, `repository ${quote(repository)} must be lower case`);
  if (!pathPattern.test(repository))
    throw bad(text, `repository ${quote(repository)} has a character or separator that is not allowed`);
  if (repository.length > longestRepository) throw bad(text, `its name is longer than ${longestRepository} characters`);
};

const quote = (text: string): string => JSON.stringify(text.slice(0, 300));

const bad = (text: string, reason: string): BerthError => invalid(`image reference ${quote(text)}: ${reason}`);
