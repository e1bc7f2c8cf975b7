import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { sha256 } from '../../../base/digest.ts';
import { BerthError, messageOf } from '../../../base/errors.ts';
import { readLimited } from '../../../base/files.ts';
import type { HostTable, Named } from './table.ts';
import type { PairPaths } from './values.ts';

/** What a host's TLS connections are made with, beside the CAs of the system. */
export interface TlsMaterial {
  /** PEM. */
  readonly ca: readonly string[];
  readonly client: readonly { readonly cert: string; readonly key: string }[];
  readonly skipVerify: boolean;
  /** Changes with the rest. */
  readonly id: string;
}

const longest = 1 << 20;

/** Reads what the table names; undefined when it names nothing. Throws failed-precondition with file, line and key. */
export const readTlsMaterial = async (table: HostTable): Promise<TlsMaterial | undefined> => {
  const { skipVerify } = table;
  if (table.ca.length === 0 && table.client.length === 0 && !skipVerify) return undefined;
  const ca = await Promise.all(table.ca.map(readCa));
  const pairs = await Promise.all(table.client.map(readPair));
  checkKinds(table.client, pairs);
  const client = pairs.map(({ cert, key }) => ({ cert, key }));
  return { ca, client, skipVerify, id: sha256(JSON.stringify([ca, client, skipVerify])) };
};

const readCa = async ({ where, value }: Named<string>): Promise<string> => {
  const text = await readText(where, value);
  const blocks = text.match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^-]+-----END (?:TRUSTED )?CERTIFICATE-----/g);
  if (blocks === null) throw wrong(where, value, 'has no certificate in PEM');
  for (const block of blocks) parsed(where, value, () => new X509Certificate(block));
  return text;
};

const readPair = async ({ where, value }: Named<PairPaths>) => {
  const cert = await readText(where, value.certificate);
  const key = value.key === value.certificate ? cert : await readText(where, value.key);
  const certificate = parsed(where, value.certificate, () => new X509Certificate(cert));
  const secret = parsed(where, value.key, () => createPrivateKey(key));
  if (!certificate.checkPrivateKey(secret))
    throw wrong(where, value.key, `is not the key of the certificate in ${value.certificate}`);
  return { cert, key, kind: kindOf(secret) };
};

const kindOf = ({ asymmetricKeyType }: KeyObject): string => asymmetricKeyType ?? '';

/** OpenSSL keeps one certificate a kind of key and would pass over the others. */
const checkKinds = (named: readonly Named<PairPaths>[], pairs: readonly { readonly kind: string }[]): void => {
  for (const [at, { kind }] of pairs.entries()) {
    const entry = named[at];
    if (entry !== undefined && pairs.findIndex((pair) => pair.kind === kind) !== at)
      throw wrong(entry.where, entry.value.certificate, `is the second client certificate with a key of kind ${kind}`);
  }
};

const readText = async (where: string, path: string): Promise<string> => {
  let bytes: Buffer | undefined;
  try {
    bytes = await readLimited(path, longest);
  } catch (error) {
    throw wrong(where, path, messageOf(error));
  }
  if (bytes === undefined) throw wrong(where, path, 'there is no such file');
  return bytes.toString('latin1');
};

const parsed = <T>(where: string, path: string, parse: () => T): T => {
  try {
    return parse();
  } catch (error) {
    throw wrong(where, path, messageOf(error));
  }
};

const wrong = (where: string, path: string, reason: string): BerthError =>
  new BerthError('failed-precondition', where === path ? `${path}: ${reason}` : `${where}: ${path}: ${reason}`);
