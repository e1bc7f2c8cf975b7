import type { Server } from 'node:https';
import type { SecureContextOptions, TlsOptions } from 'node:tls';
import { BerthError, messageOf } from '../../base/errors.ts';
import { readLimited } from '../../base/files.ts';
import type { Log } from '../log.ts';

export interface CertificateFiles {
  readonly cert: string;
  readonly key: string;
  /** Clients must have a certificate of these; "" asks for none. */
  readonly clientCa: string;
}

const sizeLimit = 1 << 20;
/** Certificates are rotated weeks before they end. */
const periodMs = 30_000;

const read = async (path: string): Promise<string> => {
  const bytes = await readLimited(path, sizeLimit);
  if (bytes === undefined) throw new BerthError('failed-precondition', `read ${path}: there is no such file`);
  // half written: it would make a server without a certificate
  if (bytes.length === 0) throw new BerthError('failed-precondition', `read ${path}: it is empty`);
  return bytes.toString('utf8');
};

const readAll = async ({ cert, key, clientCa }: CertificateFiles): Promise<SecureContextOptions> => {
  const [certificate, privateKey, ca] = await Promise.all([
    read(cert),
    read(key),
    clientCa === '' ? '' : read(clientCa),
  ]);
  return { cert: certificate, key: privateKey, ...(ca === '' ? {} : { ca }) };
};

/** What an HTTPS server starts with. Errors: `failed-precondition` for files that are missing. */
export const tlsOptions = async (files: CertificateFiles): Promise<TlsOptions> => ({
  ...(await readAll(files)),
  minVersion: 'TLSv1.2',
  requestCert: files.clientCa !== '',
});

/** Looks at the files again and again: new connections get the new certificate; with broken files the old one stays. */
export const reloadCertificates = (
  server: Server,
  files: CertificateFiles,
  log: Log,
  everyMs = periodMs,
): Disposable => {
  let known = '';
  const reload = async (): Promise<void> => {
    const found = await readAll(files);
    const text = JSON.stringify(found);
    if (known !== '' && text !== known) {
      server.setSecureContext({ ...found, minVersion: 'TLSv1.2' });
      log.info({ cert: files.cert }, 'streaming: the certificate was read anew');
    }
    known = text;
  };
  const check = (): void =>
    void reload().catch((error: unknown) =>
      log.warn(
        { cert: files.cert, cause: messageOf(error) },
        'streaming: a new certificate cannot be used, the old one stays',
      ),
    );
  check();
  const timer = setInterval(check, everyMs).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
};
