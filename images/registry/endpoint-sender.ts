import { speaksNoTls } from './connection-errors.ts';
import type { Connection, Endpoint } from './hosts/endpoints.ts';
import type { Message, Reply, Sender, Transport } from './transport.ts';

/**
 * Sends to an endpoint, and to where it leads: redirects, token realms. Its CAs and skip_verify count for those as well,
 * its client certificates and headers are for its own origin (CVE-2020-15157).
 */
export class EndpointSender implements Sender {
  readonly #transport: Pick<Transport, 'send'>;
  readonly #endpoint: Endpoint;
  readonly #elsewhere: Connection;
  #connection: Connection;
  #base: URL;

  constructor(transport: Pick<Transport, 'send'>, endpoint: Endpoint) {
    this.#transport = transport;
    this.#endpoint = endpoint;
    this.#base = endpoint.base;
    this.#connection = endpoint.connection;
    this.#elsewhere = elsewhere(endpoint.connection);
  }

  /** The URL of a path below the API's root. */
  urlOf(path: string): URL {
    const url = new URL(path, this.#base);
    const { namespace } = this.#endpoint;
    if (namespace !== undefined) url.searchParams.set('ns', namespace);
    return url;
  }

  isOwn(url: URL): boolean {
    return url.origin === this.#base.origin;
  }

  async send(url: URL, message: Message): Promise<Reply> {
    if (!this.isOwn(url) && url.origin !== this.#endpoint.base.origin)
      return this.#transport.send(url, message, this.#elsewhere);
    try {
      return await this.#sendOwn(url, message);
    } catch (error) {
      if (!this.#endpoint.fallsBack || !speaksNoTls(error)) throw error;
      this.#base = new URL(this.#base.href.replace(/^https:/, 'http:'));
      this.#connection = { ...this.#connection, isPlain: true };
      return this.#sendOwn(url, message);
    }
  }

  #sendOwn(url: URL, message: Message): Promise<Reply> {
    const target = new URL(url.href.slice(url.origin.length), this.#base.origin);
    return this.#transport.send(target, { ...message, headers: this.#headers(message.headers) }, this.#connection);
  }

  /** What the request itself needs comes first. */
  #headers(own: Message['headers']): Message['headers'] {
    const names = new Set(Object.keys(own).map((name) => name.toLowerCase()));
    names.delete('user-agent');
    const extra = Object.entries(this.#endpoint.headers).filter(([name]) => !names.has(name.toLowerCase()));
    const hasAgent = extra.some(([name]) => name.toLowerCase() === 'user-agent');
    const rest = Object.entries(own).filter(([name]) => !hasAgent || name.toLowerCase() !== 'user-agent');
    return Object.fromEntries([...rest, ...extra]);
  }
}

const elsewhere = ({ tls, dialMs }: Connection): Connection => ({
  tls: tls && { ...tls, client: [], id: `${tls.id} elsewhere` },
  dialMs,
  isPlain: false,
});
