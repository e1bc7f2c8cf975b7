import { type ClientRequest, request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Socket } from 'node:net';
import { BerthError, errnoOf } from '../../base/errors.ts';
import type { Way } from './agents.ts';
import { connectionError, notConnected, stalled } from './connection-errors.ts';
import type { HttpProxy } from './proxy.ts';
import { sendBody } from './send-body.ts';
import type { Message } from './transport.ts';
import { proxyHeaders } from './tunnel.ts';

export interface ExchangeOptions {
  readonly url: URL;
  readonly message: Message;
  readonly way: Way;
  readonly proxy: HttpProxy | undefined;
  readonly dialMs: number;
  /** Without a byte for so long the host stalls. */
  readonly seconds: number;
}

/** One request on its way to one host. */
export class Exchange {
  readonly #options: ExchangeOptions;
  #request: ClientRequest | undefined;

  constructor(options: ExchangeOptions) {
    this.#options = options;
  }

  /** The head of the response. Errors are those of `connectionError`. */
  async answer({ isEmpty }: { readonly isEmpty: boolean }): Promise<IncomingMessage> {
    const { url, message, way, proxy, dialMs, seconds } = this.#options;
    const { method = 'GET', signal, body } = message;
    const isForwarded = proxy !== undefined && url.protocol === 'http:';
    const headers = { ...mutable(message.headers), ...(isForwarded && { host: url.host, ...proxyHeaders(proxy) }) };
    const all = { ...way.options, method, headers, signal, ...(isForwarded && { path: url.href }) };
    const request = way.isSecure ? httpsRequest(url, all) : httpRequest(url, all);
    this.#request = request;
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const name = isForwarded ? `proxy ${proxy.name} for ${url.host}` : url.host;
    const timer = setTimeout(() => request.destroy(stalled(name, seconds)), seconds * 1000);
    boundDial(request, dialMs, name);
    request.once('socket', listenForErrors);
    request.once('response', resolve);
    // Stays on: a late error of the connection is the body's, and without a listener it would end the daemon.
    request.on('error', (error) => reject(connectionError(name, error, signal, isEmpty)));
    sendBody(request, body, () => timer.refresh());
    return await promise.finally(() => clearTimeout(timer));
  }

  /** Whether it failed since its connection, which had served before, was closed; and can be sent once more. */
  wasStale(error: unknown): boolean {
    const { body, method = 'GET' } = this.#options.message;
    const isRepeatable = ['GET', 'HEAD', 'POST'].includes(method) && (body === undefined || typeof body === 'string');
    const isClosed = error instanceof BerthError && ['ECONNRESET', 'EPIPE'].includes(errnoOf(error.cause) ?? '');
    return isClosed && isRepeatable && this.#request?.reusedSocket === true;
  }
}

const mutable = (headers: Message['headers']): Record<string, string | string[]> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, typeof value === 'string' ? value : [...value]]),
  );

const ignore = (): void => undefined;

/**
 * A caller that goes in the turn in which its answer is complete ends the connection when the request no longer listens to
 * it and its pool not yet: an error that nobody hears would end the daemon.
 */
const listenForErrors = (socket: Socket): void => {
  if (!socket.listeners('error').includes(ignore)) socket.on('error', ignore);
};

/** A connection that was kept is there already; one through a proxy has its own bound. */
const boundDial = (request: ClientRequest, ms: number, name: string): void => {
  request.once('socket', (socket) => {
    if (!socket.connecting) return;
    const timer = setTimeout(() => request.destroy(notConnected(name, ms)), ms);
    socket.once('connect', () => clearTimeout(timer));
    socket.once('close', () => clearTimeout(timer));
  });
};
