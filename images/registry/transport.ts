import { Agent as HttpAgent, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { BerthError, errnoOf, messageOf } from '../../base/errors.ts';
import type { RegistrySettings } from '../types.ts';
import { temporary } from './temporary.ts';
import { Trust } from './trust.ts';

export interface Message {
  readonly method?: 'GET' | 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly signal: AbortSignal;
}

export interface Reply {
  readonly url: URL;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Ends with an error when the connection is cut or stalls. To be read, discarded or destroyed. */
  readonly body: AsyncIterable<Buffer>;
  /** Leaves the body unread; the connection stays where the body is short. */
  discard(): void;
  destroy(): void;
}

/** What sends a request to where it belongs, over a connection as it is to be there. */
export interface Sender {
  send(url: URL, message: Message): Promise<Reply>;
}

/** The connections to all registries. One request, one reply: no redirects, no credentials, no retries. */
export class Transport implements Disposable {
  readonly #settings: RegistrySettings;
  readonly #http = new HttpAgent({ keepAlive: true, maxSockets: 32, maxFreeSockets: 8 });
  readonly #https = new HttpsAgent({ keepAlive: true, maxSockets: 32, maxFreeSockets: 8 });
  readonly #trust = new Trust();

  #isClosed = false;

  constructor(settings: RegistrySettings) {
    this.#settings = settings;
  }

  /** `https://host/`, or `http://host/` where the configuration marks the host so. */
  origin(host: string): URL {
    return new URL(`${this.#isPlain(host) ? 'http' : 'https'}://${host}/`);
  }

  #isPlain(host: string): boolean {
    const name = host.toLowerCase();
    return this.#settings.plainHttp.some((entry) => [name, name.replace(/:\d+$/, '')].includes(entry.toLowerCase()));
  }

  async send(url: URL, message: Message): Promise<Reply> {
    if (this.#isClosed) throw new BerthError('unavailable', `${url.host}: the daemon is ending`);
    if (url.protocol === 'http:' && !this.#isPlain(url.host))
      throw new BerthError('failed-precondition', `${url.host} is to be reached by plain HTTP: ${plainHint(url.host)}`);
    if (url.protocol !== 'http:' && url.protocol !== 'https:')
      throw new BerthError('failed-precondition', `${url.protocol}//${url.host}: only https and http are spoken`);
    const response = await this.#exchange(url, message);
    return {
      url,
      status: response.statusCode ?? 0,
      headers: response.headers,
      body: readBody(response, url.host, this.#settings.stallSeconds, message.signal),
      discard: () => discard(response),
      destroy: () => response.destroy(),
    };
  }

  async #exchange(url: URL, message: Message): Promise<IncomingMessage> {
    const secureContext = url.protocol === 'https:' ? await this.#trust.context() : undefined;
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const { method = 'GET', headers, signal, body } = message;
    const secure = { method, headers, signal, agent: this.#https, secureContext };
    const request =
      secureContext === undefined
        ? httpRequest(url, { method, headers, signal, agent: this.#http })
        : httpsRequest(url, secure);
    const seconds = this.#settings.stallSeconds;
    const timer = setTimeout(() => request.destroy(stalled(url.host, seconds)), seconds * 1000);
    request.once('response', resolve);
    // Stays on: a late error of the connection is the body's, and without a listener it would end the daemon.
    request.on('error', (error) => reject(connectionError(url.host, error, signal, this.#trust.isEmpty)));
    request.end(body);
    return await promise.finally(() => clearTimeout(timer));
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#http.destroy();
    this.#https.destroy();
  }
}

const discard = (response: IncomingMessage): void => {
  if (Number(response.headers['content-length'] ?? Number.NaN) <= 65536) {
    response.setTimeout(1000, () => response.destroy());
    response.resume();
  } else response.destroy();
};

const plainHint = (host: string): string =>
  `add ${JSON.stringify(host)} to plain_http in [registry] of the configuration if that is meant`;

const stalled = (host: string, seconds: number): BerthError =>
  temporary(new BerthError('unavailable', `${host} stalls: no byte for ${seconds} s`));

/** The time that the reader itself takes is not the server's: the timer only counts while a chunk is awaited. */
async function* readBody(
  response: IncomingMessage,
  host: string,
  seconds: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  let isWaiting = true;
  const timer = setTimeout(() => {
    if (isWaiting) response.destroy(stalled(host, seconds));
  }, seconds * 1000);
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      isWaiting = false;
      yield chunk;
      isWaiting = true;
      timer.refresh();
    }
  } catch (error) {
    throw connectionError(host, error, signal);
  } finally {
    clearTimeout(timer);
  }
}

const notTls = ['EPROTO', 'ERR_SSL_WRONG_VERSION_NUMBER', 'ERR_SSL_PACKET_LENGTH_TOO_LONG'];

/** Node's names for what OpenSSL finds wrong with a certificate, and its own for a name that does not match. */
const isUntrusted = (code: string): boolean => /^ERR_TLS_CERT|CERT|_SIGNATURE|^UNABLE_TO_|^CRL_/.test(code);
const trustHint = 'if it is to be trusted, add its CA to those of the system';
const noTrustHint = 'the system has no CA certificates; install the package ca-certificates';

const connectionError = (host: string, error: unknown, signal: AbortSignal, noTrust = false): BerthError => {
  if (error instanceof BerthError) return error;
  if (signal.aborted)
    return new BerthError('cancelled', `transfer from ${host} is cancelled`, { cause: signal.reason });
  const code = errnoOf(error) ?? '';
  if (notTls.includes(code))
    return new BerthError('unavailable', `${host} does not speak TLS: ${plainHint(host)}`, { cause: error });
  if (isUntrusted(code)) {
    const message = `${host}: its certificate is refused: ${messageOf(error)}: ${noTrust ? noTrustHint : trustHint}`;
    return new BerthError('failed-precondition', message, { cause: error });
  }
  const failure = new BerthError('unavailable', `${host} cannot be reached: ${causeOf(error)}`, { cause: error });
  // A name that does not exist or a certificate that is wrong will be so in a second as well.
  return /^(?:E(?:CONN|PIPE|TIMEDOUT|HOSTUNREACH|NETUNREACH|AI_AGAIN)|HPE_|ERR_STREAM_PREMATURE)/.test(code)
    ? temporary(failure)
    : failure;
};

/** An AggregateError of several addresses has no message of its own. */
const causeOf = (error: unknown): string =>
  error instanceof AggregateError ? error.errors.map(messageOf).join('; ') : messageOf(error);
