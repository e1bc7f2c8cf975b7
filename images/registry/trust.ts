import { stat } from 'node:fs/promises';
import { createSecureContext, type SecureContext } from 'node:tls';
import { sha256 } from '../../base/digest.ts';
import { readLimited } from '../../base/files.ts';
import type { TlsMaterial } from './hosts/certificates.ts';

/** Where distributions keep the CAs that the machine trusts, as one PEM file: Debian, RHEL, SUSE, Alpine. */
const systemFiles: readonly string[] = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];
const longest = 16 << 20;
/** A context of the system's CAs is some hundred KB. */
const mostContexts = 16;

/** A context, and what it is known by: connections that were made with another are not used for it. */
export interface Trusted {
  readonly context: SecureContext;
  readonly id: string;
}

interface Bundle {
  readonly path: string;
  /** Changes with the file. */
  readonly key: string;
}

/**
 * The CAs of the system, not those that Node brings along: the bundle of the distribution, or SSL_CERT_FILE as OpenSSL
 * knows it, and NODE_EXTRA_CA_CERTS. Read anew when a file has changed. Not by `tls.getCACertificates('system')`: that
 * holds the event loop for 0.2 s, and never looks again.
 */
export class Trust {
  #key = '';
  readonly #contexts = new Map<string, Trusted>();

  /** One context for all connections of a kind: each of its own would parse every certificate again. */
  async context(tls?: TlsMaterial): Promise<Trusted> {
    const bundles = await bundlesNow();
    const key = bundles.map((bundle) => bundle.key).join('\n');
    if (this.#key !== key) this.#contexts.clear();
    this.#key = key;
    const id = tls?.id ?? '';
    const known = this.#contexts.get(id);
    if (known !== undefined) return known;
    const texts = await Promise.all(bundles.map(({ path }) => readLimited(path, longest)));
    const ca = [...texts.filter((text) => text !== undefined), ...(tls?.ca ?? [])];
    const { client = [] } = tls ?? {};
    const context = createSecureContext({
      ca,
      ...(client.length > 0 && { cert: client.map(({ cert }) => cert), key: client.map((pair) => pair.key) }),
    });
    const trusted = { context, id: sha256(JSON.stringify([key, id])) };
    if (this.#contexts.size >= mostContexts) this.#contexts.clear();
    this.#contexts.set(id, trusted);
    return trusted;
  }

  /** Whether the machine has any CA; without one no registry is trusted. */
  get isEmpty(): boolean {
    return this.#key === '';
  }
}

const bundlesNow = async (): Promise<readonly Bundle[]> => {
  const { SSL_CERT_FILE: own = '', NODE_EXTRA_CA_CERTS: extra = '' } = process.env;
  const system = own === '' ? await firstOf(systemFiles) : await bundleAt(own);
  const added = extra === '' ? undefined : await bundleAt(extra);
  return [system, added].filter((bundle) => bundle !== undefined);
};

const firstOf = async (paths: readonly string[]): Promise<Bundle | undefined> => {
  for (const path of paths) {
    const bundle = await bundleAt(path);
    if (bundle !== undefined) return bundle;
  }
  return undefined;
};

const bundleAt = async (path: string): Promise<Bundle | undefined> => {
  const info = await stat(path).catch(() => undefined);
  if (info?.isFile() !== true || info.size === 0) return undefined;
  return { path, key: `${path} ${info.ino} ${info.size} ${info.mtimeMs}` };
};
