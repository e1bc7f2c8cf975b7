import { BerthError, errnoOf, messageOf } from '../../base/errors.ts';
import { leastRate } from './pace.ts';
import { outage, temporary } from './temporary.ts';

export const stalled = (host: string, seconds: number): BerthError =>
  temporary(outage(new BerthError('unavailable', `${host} stalls: no byte for ${seconds} s`)));

export const crawling = (host: string, seconds: number): BerthError =>
  temporary(
    outage(new BerthError('unavailable', `${host} stalls: fewer than ${leastRate} bytes a second for ${seconds} s`)),
  );

export const notConnected = (host: string, ms: number): BerthError =>
  temporary(outage(new BerthError('unavailable', `${host} cannot be reached: no connection in ${ms} ms`)));

export const plainHint = (host: string): string =>
  `if that is meant, write http:// in hosts.toml, or add ${JSON.stringify(host)} to plain_http in [registry]`;

const notTls = ['EPROTO', 'ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG'];

/** Whether the host answered the beginning of TLS with something else. */
export const speaksNoTls = (error: unknown): boolean =>
  error instanceof BerthError && notTls.includes(errnoOf(error.cause) ?? '');

/** Node's names for what OpenSSL finds wrong with a certificate, and its own for a name that does not match. */
const isUntrusted = (code: string): boolean => /^ERR_TLS_CERT|CERT|_SIGNATURE|^UNABLE_TO_|^CRL_/.test(code);
const trustHint = 'if it is to be trusted, add its CA to those of the system, or as ca to its hosts.toml';
const noTrustHint = 'the system has no CA certificates; install the package ca-certificates';

/** What Node says of a connection, in our words. `noTrust`: the system has no CA. */
export const connectionError = (host: string, error: unknown, signal: AbortSignal, noTrust = false): BerthError => {
  if (error instanceof BerthError) return error;
  if (signal.aborted)
    return new BerthError('cancelled', `transfer from ${host} is cancelled`, { cause: signal.reason });
  const code = errnoOf(error) ?? '';
  if (notTls.includes(code))
    return new BerthError('unavailable', `${host} does not speak TLS: ${plainHint(host)}`, { cause: error });
  if (/^ERR_SSL_.*ALERT/.test(code))
    return new BerthError('failed-precondition', `${host} refuses the TLS connection: ${messageOf(error)}`, {
      cause: error,
    });
  if (isUntrusted(code)) {
    // Node adds what to do with its own options; they are not ours.
    const reason = messageOf(error).replace(/; if the root CA .*$/, '');
    const message = `${host}: its certificate is refused: ${reason}: ${noTrust ? noTrustHint : trustHint}`;
    return new BerthError('failed-precondition', message, { cause: error });
  }
  const failure = new BerthError('unavailable', `${host} cannot be reached: ${causeOf(error)}`, { cause: error });
  // A name that does not exist or a certificate that is wrong will be so in a second as well.
  return /^(?:E(?:CONN|PIPE|TIMEDOUT|HOSTUNREACH|NETUNREACH|AI_AGAIN)|HPE_|ERR_STREAM_PREMATURE)/.test(code)
    ? temporary(outage(failure))
    : outage(failure);
};

/** An AggregateError of several addresses has no message of its own. */
const causeOf = (error: unknown): string =>
  error instanceof AggregateError ? error.errors.map(messageOf).join('; ') : messageOf(error);
