import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { BerthError } from '../../base/errors.ts';
import type { RegistrySettings } from '../types.ts';
import { Agents } from './agents.ts';
import { arriving } from './arriving.ts';
import { connectionError, crawling, plainHint, stalled } from './connection-errors.ts';
import { Exchange } from './exchange.ts';
import { type Connection, isPlainHost, standardConnection } from './hosts/endpoints.ts';
import { Pace } from './pace.ts';
import { type Environment, type HttpProxy, proxyFor } from './proxy.ts';
import type { Body } from './send-body.ts';

export interface Message {
  readonly method?: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: Body;
  readonly signal: AbortSignal;
}

export interface Reply {
  readonly url: URL;
  /** The proxy that it came through by plain HTTP, and that may have said it itself. */
  readonly via?: string | undefined;
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
  readonly #environment: Environment;
  readonly #agents: Agents;

  constructor(settings: RegistrySettings, environment: Environment = process.env, agents = new Agents()) {
    this.#settings = settings;
    this.#environment = environment;
    this.#agents = agents;
  }

  /** One for the same connections by other settings; they end together. */
  with(settings: RegistrySettings): Transport {
    return new Transport(settings, this.#environment, this.#agents);
  }

  async send(url: URL, message: Message, connection: Connection = standardConnection): Promise<Reply> {
    if (this.#agents.isClosed) throw new BerthError('unavailable', `${url.host}: the daemon is ending`);
    if (url.protocol !== 'http:' && url.protocol !== 'https:')
      throw new BerthError('failed-precondition', `${url.protocol}//${url.host}: only https and http are spoken`);
    if (url.protocol === 'http:' && !connection.isPlain && !isPlainHost(this.#settings.plainHttp, url.host))
      throw new BerthError('failed-precondition', `${url.host} is to be reached by plain HTTP: ${plainHint(url.host)}`);
    const proxy = proxyFor(url, this.#environment);
    const response = await this.#exchange(url, message, connection, proxy);
    const via = url.protocol === 'http:' ? proxy?.name : undefined;
    if (via !== undefined && response.statusCode === 407) {
      response.destroy();
      throw new BerthError('failed-precondition', `proxy ${via} for ${url.host} answers 407: it wants credentials`);
    }
    return {
      url,
      via,
      status: response.statusCode ?? 0,
      headers: response.headers,
      body: readBody(response, url.host, this.#settings.stallSeconds, message.signal),
      discard: () => discard(response),
      destroy: () => response.destroy(),
    };
  }

  /** A connection that was kept may have been closed by the host meanwhile: that is no failure of the host. */
  async #exchange(
    url: URL,
    message: Message,
    connection: Connection,
    proxy: HttpProxy | undefined,
  ): Promise<IncomingMessage> {
    const { trust } = this.#agents;
    for (;;) {
      const way = await this.#agents.wayTo(url, connection, proxy);
      const one = new Exchange({
        url,
        message,
        way,
        proxy,
        dialMs: connection.dialMs,
        seconds: this.#settings.stallSeconds,
      });
      try {
        return await one.answer(trust);
      } catch (error) {
        if (!one.wasStale(error) || message.signal.aborted) throw error;
      }
    }
  }

  [Symbol.dispose](): void {
    this.#agents[Symbol.dispose]();
  }
}

const discard = (response: IncomingMessage): void => {
  if (Number(response.headers['content-length'] ?? Number.NaN) <= 65536) {
    response.setTimeout(1000, () => response.destroy());
    response.resume();
  } else response.destroy();
};

/** The time that the reader itself takes is not the server's: the timer only counts while a chunk is awaited. */
async function* readBody(
  response: IncomingMessage,
  host: string,
  seconds: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  let isWaiting = true;
  let since = performance.now();
  const pace = new Pace(seconds);
  const timer = setTimeout(() => {
    if (isWaiting) response.destroy(stalled(host, seconds));
  }, seconds * 1000);
  try {
    for await (const chunk of arriving(response)) {
      isWaiting = false;
      if (pace.isCrawling(chunk.length, performance.now() - since)) throw crawling(host, seconds);
      yield chunk;
      isWaiting = true;
      since = performance.now();
      timer.refresh();
    }
  } catch (error) {
    throw connectionError(host, error, signal);
  } finally {
    clearTimeout(timer);
  }
}
