import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Digest, sha256 } from '../../base/digest.ts';
import type { TestRegistry } from './own-registry.ts';

export type KeyKind = 'ec' | 'rsa' | 'ed25519';

export interface TestKey {
  readonly kind: KeyKind;
  readonly privateFile: string;
  readonly publicFile: string;
  readonly publicPem: string;
}

const openssl = (args: readonly string[]): Buffer =>
  execFileSync('openssl', [...args], { stdio: ['ignore', 'pipe', 'ignore'] });

const algorithms: Readonly<Record<KeyKind, readonly string[]>> = {
  ec: ['EC', '-pkeyopt', 'ec_paramgen_curve:P-256'],
  rsa: ['RSA', '-pkeyopt', 'rsa_keygen_bits:2048'],
  ed25519: ['ed25519'],
};

/** A pair of keys made by openssl, in two files of the directory. */
export const makeKey = (directory: string, name: string, kind: KeyKind = 'ec'): TestKey => {
  const privateFile = join(directory, `${name}.key`);
  const publicFile = join(directory, `${name}.pub`);
  openssl(['genpkey', '-algorithm', ...algorithms[kind], '-out', privateFile]);
  openssl(['pkey', '-in', privateFile, '-pubout', '-out', publicFile]);
  return { kind, privateFile, publicFile, publicPem: openssl(['pkey', '-in', privateFile, '-pubout']).toString() };
};

/** The signature as openssl makes it, in base64. */
export const sign = (key: TestKey, payload: Buffer): string => {
  const file = `${key.privateFile}.${sha256(payload).slice(7, 23)}`;
  writeFileSync(file, payload);
  const how =
    key.kind === 'ed25519'
      ? ['pkeyutl', '-sign', '-rawin', '-inkey', key.privateFile, '-in', file]
      : ['dgst', '-sha256', '-sign', key.privateFile, file];
  return openssl(how).toString('base64');
};

/** What cosign signs. */
export const claim = (name: string, digest: string, more: object = {}): Buffer =>
  Buffer.from(
    JSON.stringify({
      critical: {
        identity: { 'docker-reference': name },
        image: { 'docker-manifest-digest': digest },
        type: 'cosign container image signature',
        ...more,
      },
      optional: null,
    }),
  );

export interface Signed {
  readonly payload: Buffer;
  readonly signature: string;
}

export const signed = (key: TestKey, payload: Buffer): Signed => ({ payload, signature: sign(key, payload) });

/** The manifest that holds signatures, with their payloads as blobs of the repository. */
export const putSignatures = (
  registry: TestRegistry,
  repository: string,
  digest: Digest,
  signatures: readonly Signed[],
  tag = `${digest.replace(':', '-')}.sig`,
): Digest => {
  const config = Buffer.from('{}');
  const layers = signatures.map(({ payload, signature }) => ({
    mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
    size: payload.length,
    digest: sha256(payload),
    annotations: { 'dev.cosignproject.cosign/signature': signature },
  }));
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const body = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType,
      artifactType: 'application/vnd.dev.cosign.artifact.sig.v1+json',
      config: { mediaType: 'application/vnd.oci.image.config.v1+json', size: 2, digest: sha256(config) },
      layers,
    }),
  );
  for (const blob of [config, ...signatures.map(({ payload }) => payload)])
    registry.put(`${repository}/blobs/${sha256(blob)}`, 'application/octet-stream', blob);
  for (const name of [tag, sha256(body)]) registry.put(`${repository}/manifests/${name}`, mediaType, body);
  return sha256(body);
};
