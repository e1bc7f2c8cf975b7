import { invalid } from '../../base/errors.ts';
import type { RegistryAuth } from '../types.ts';

/** What the caller can show to a registry. */
export type Credentials =
  | { readonly kind: 'none' }
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  | { readonly kind: 'identity'; readonly token: string }
  | { readonly kind: 'bearer'; readonly token: string };

/**
 * Reads CRI's AuthConfig for `host`: those with a server address are for that host, those without for `origin`, the
 * registry in the image's name, and for no mirror of it. Throws invalid-argument.
 */
export const readCredentials = (auth: RegistryAuth | undefined, host: string, origin = host): Credentials => {
  if (auth === undefined || hostOf(auth.serverAddress || origin) !== hostOf(host)) return { kind: 'none' };
  if (auth.registryToken) return { kind: 'bearer', token: checkToken(auth.registryToken, 'registry_token') };
  if (auth.identityToken) return { kind: 'identity', token: checkToken(auth.identityToken, 'identity_token') };
  if (auth.username) return { kind: 'password', username: auth.username, password: auth.password ?? '' };
  return auth.auth ? readPair(auth.auth) : { kind: 'none' };
};

export const basicHeader = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

const readPair = (text: string): Credentials => {
  // Go writes the padding of some encoders as zero bytes behind the password.
  const pair = Buffer.from(text, 'base64').toString('utf8').replace(/\0+$/, '');
  const colon = pair.indexOf(':');
  if (colon < 0) throw invalid('registry credentials: auth is not base64 of user:password');
  return { kind: 'password', username: pair.slice(0, colon), password: pair.slice(colon + 1) };
};

export const checkToken = (token: string, what: string): string => {
  if (!/^[\x21-\x7e]+$/.test(token)) throw invalid(`registry credentials: ${what} has characters that no token has`);
  return token;
};

/** The host of an address with or without scheme and path. Docker Hub goes by several names. */
export const hostOf = (address: string): string => {
  const host = address
    .replace(/^[a-z]+:\/\//i, '')
    .replace(/\/.*$/, '')
    .toLowerCase();
  return ['docker.io', 'index.docker.io', 'registry-1.docker.io'].includes(host) ? 'docker.io' : host;
};
