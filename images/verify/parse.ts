import type { KeyObject } from 'node:crypto';
import { isAbsolute } from 'node:path';
import { type BerthError, invalid, messageOf } from '../../base/errors.ts';
import { isObject, type JsonObject, objectField, parseObject, textField, textsField } from '../json.ts';
import { readKey } from './keys.ts';
import type { Identity, Policy, Requirement } from './policy.ts';
import { problemOfScope } from './scope.ts';

/** Reads a file of the policy; throws what it likes. */
export type ReadFile = (path: string) => Promise<Buffer>;

/** Those of containers-policy.json(5) that are not about registries: they are let be. */
const otherTransports = [
  'atomic',
  'containers-storage',
  'dir',
  'docker-archive',
  'docker-daemon',
  'oci',
  'oci-archive',
  'ostree',
  'sif',
  'tarball',
];

/** Reads a policy in the form of containers-policy.json(5). Throws invalid-argument that names the place in the file. */
export const parsePolicy = async (bytes: Uint8Array, what: string, readFile: ReadFile): Promise<Policy> => {
  const document = parseObject(bytes, what);
  checkKeys(document, ['default', 'transports'], what);
  const reader = new Reader(readFile);
  const otherwise = await reader.requirements(document.default, `${what}: default`);
  const transports = objectField(document, 'transports', what) ?? {};
  checkKeys(transports, ['docker', ...otherTransports], `${what}: transports`);
  const scopes = new Map<string, readonly Requirement[]>();
  for (const [scope, value] of Object.entries(objectField(transports, 'docker', what) ?? {})) {
    const place = `${what}: transports.docker[${JSON.stringify(scope)}]`;
    const problem = problemOfScope(scope);
    if (problem !== undefined) throw invalid(`${place}: ${problem}`);
    scopes.set(scope, await reader.requirements(value, place));
  }
  return { otherwise, scopes };
};

const checkKeys = (object: JsonObject, known: readonly string[], what: string): void => {
  const strange = Object.keys(object).find((key) => !known.includes(key));
  if (strange !== undefined) throw invalid(`${what}: ${JSON.stringify(strange)} is not known; ${known.join(', ')} are`);
};

/** Of the same man page: what needs a network, a certificate authority or GnuPG. */
const unsupported: Readonly<Record<string, string>> = {
  signedBy: 'GPG signatures are not supported; sigstoreSigned is',
  fulcio: 'certificates are not verified; keyPath, keyPaths, keyData and keyDatas are',
  pki: 'certificates are not verified; keyPath, keyPaths, keyData and keyDatas are',
  rekorPublicKeyPath: 'transparency logs are not verified',
  rekorPublicKeyPaths: 'transparency logs are not verified',
  rekorPublicKeyData: 'transparency logs are not verified',
  rekorPublicKeyDatas: 'transparency logs are not verified',
};

const keyFields = ['keyPath', 'keyPaths', 'keyData', 'keyDatas'];

class Reader {
  readonly #readFile: ReadFile;

  constructor(readFile: ReadFile) {
    this.#readFile = readFile;
  }

  /** At least one: a list of none would accept everything by accident. */
  async requirements(value: unknown, what: string): Promise<readonly Requirement[]> {
    if (!Array.isArray(value) || value.length === 0 || !value.every(isObject))
      throw invalid(`${what}: is not a list of one requirement or more`);
    return Promise.all(value.map((item: JsonObject, i) => this.#requirement(item, `${what}[${i}]`)));
  }

  async #requirement(item: JsonObject, what: string): Promise<Requirement> {
    const type = textField(item, 'type', what);
    switch (type) {
      case 'insecureAcceptAnything':
        checkKeys(item, ['type'], what);
        return { kind: 'accept' };
      case 'reject':
        checkKeys(item, ['type'], what);
        return { kind: 'reject' };
      case 'sigstoreSigned':
        return this.#cosign(item, what);
      case 'program':
        return programOf(item, what);
      default:
        throw wrongType(type, what);
    }
  }

  async #cosign(item: JsonObject, what: string): Promise<Requirement> {
    for (const key of Object.keys(item))
      if (unsupported[key] !== undefined) throw invalid(`${what}.${key}: ${unsupported[key]}`);
    checkKeys(item, ['type', 'signedIdentity', ...keyFields], what);
    const [field, more] = keyFields.filter((key) => item[key] !== undefined);
    if (field === undefined || more !== undefined) throw invalid(`${what}: needs one of ${keyFields.join(', ')}`);
    const texts = field.endsWith('s') ? textsField(item, field, what) : [textField(item, field, what)];
    if (texts.length === 0) throw invalid(`${what}.${field}: names no key`);
    const keys = await Promise.all(
      texts.map((text, i) => this.#key(text, field, `${what}.${field}${field.endsWith('s') ? `[${i}]` : ''}`)),
    );
    return { kind: 'cosign', keys, identity: identityOf(objectField(item, 'signedIdentity', what), what) };
  }

  async #key(text: string, field: string, what: string): Promise<KeyObject> {
    try {
      if (field.startsWith('keyData')) return readKey(Buffer.from(text, 'base64').toString('utf8'));
      if (!isAbsolute(text)) throw invalid('is not an absolute path');
      return readKey((await this.#readFile(text)).toString('utf8'));
    } catch (error) {
      const name = field.startsWith('keyData') ? '' : ` ${text.slice(0, 300)}`;
      throw invalid(`${what}:${name} ${messageOf(error)}`);
    }
  }
}

const wrongType = (type: string, what: string): BerthError =>
  invalid(
    unsupported[type] === undefined
      ? `${what}.type: ${JSON.stringify(type)} is none of insecureAcceptAnything, reject, sigstoreSigned, program`
      : `${what}.type: ${type}: ${unsupported[type]}`,
  );

const programOf = (item: JsonObject, what: string): Requirement => {
  checkKeys(item, ['type', 'path', 'args', 'timeoutSeconds'], what);
  const path = textField(item, 'path', what);
  if (!isAbsolute(path) || path.includes('\0')) throw invalid(`${what}.path: is not an absolute path`);
  const args = textsField(item, 'args', what);
  if (args.some((arg) => arg.includes('\0'))) throw invalid(`${what}.args: has a zero byte`);
  const seconds = item.timeoutSeconds ?? 10;
  if (typeof seconds !== 'number' || !Number.isInteger(seconds) || seconds < 1 || seconds > 300)
    throw invalid(`${what}.timeoutSeconds: is not a whole number from 1 to 300`);
  return { kind: 'program', path, args, timeoutMs: seconds * 1000 };
};

const identityOf = (item: JsonObject | undefined, outer: string): Identity => {
  if (item === undefined) return { kind: 'matchRepoDigestOrExact' };
  const what = `${outer}.signedIdentity`;
  const kind = textField(item, 'type', what);
  const field = (key: string): string => {
    const text = textField(item, key, what);
    if (text === '' || problemOfScope(text) !== undefined)
      throw invalid(`${what}.${key}: ${JSON.stringify(text)} ${problemOfScope(text) ?? 'is empty'}`);
    return text;
  };
  switch (kind) {
    case 'matchExact':
    case 'matchRepoDigestOrExact':
    case 'matchRepository':
    case 'matchDigest':
      checkKeys(item, ['type'], what);
      return { kind };
    case 'exactReference':
      checkKeys(item, ['type', 'dockerReference'], what);
      if (!/[:@][^/]*$/.test(field('dockerReference')))
        throw invalid(`${what}.dockerReference: has no tag or digest; exactRepository needs none`);
      return { kind, name: field('dockerReference') };
    case 'exactRepository':
      checkKeys(item, ['type', 'dockerRepository'], what);
      return { kind, name: field('dockerRepository') };
    case 'remapIdentity':
      checkKeys(item, ['type', 'prefix', 'signedPrefix'], what);
      return { kind, prefix: field('prefix'), signedPrefix: field('signedPrefix') };
    default:
      throw invalid(
        `${what}.type: ${JSON.stringify(kind)} is none of matchExact, matchRepoDigestOrExact, matchRepository, matchDigest, exactReference, exactRepository, remapIdentity`,
      );
  }
};
