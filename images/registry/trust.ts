import { stat } from 'node:fs/promises';
import { createSecureContext, type SecureContext } from 'node:tls';
import { readLimited } from '../../base/files.ts';

/** Where distributions keep the CAs that the machine trusts, as one PEM file: Debian, RHEL, SUSE, Alpine. */
const systemFiles: readonly string[] = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];
const longest = 16 << 20;

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
  #context: SecureContext | undefined;

  /** One context for all connections: each of its own would parse every certificate again. */
  async context(): Promise<SecureContext> {
    const bundles = await bundlesNow();
    const key = bundles.map((bundle) => bundle.key).join('\n');
    if (this.#context !== undefined && this.#key === key) return this.#context;
    const texts = await Promise.all(bundles.map(({ path }) => readLimited(path, longest)));
    this.#context = createSecureContext({ ca: texts.filter((text) => text !== undefined) });
    this.#key = key;
    return this.#context;
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
