import { BerthError } from '../../base/errors.ts';
import { Authorizer } from '../registry/authorizer.ts';
import { EndpointSender } from '../registry/endpoint-sender.ts';
import type { Endpoint } from '../registry/hosts/endpoints.ts';
import type { Keyring } from '../registry/keyring.ts';
import { failureOf } from '../registry/reply.ts';
import { pullScope, pushScope } from '../registry/scopes.ts';
import { temporary } from '../registry/temporary.ts';
import type { Message, Reply, Transport } from '../registry/transport.ts';

/** What a request is, but for where it goes. */
export type Request = Pick<Message, 'method' | 'body'> & {
  readonly headers?: Readonly<Record<string, string>>;
  /** What the error begins with. */
  readonly what: string;
};

/** One repository at one host, for uploads. Nothing is tried twice here, but for what a challenge asks for. */
export class Destination {
  readonly host: string;
  readonly repository: string;
  readonly #sender: EndpointSender;
  readonly #authorizer: Authorizer;

  constructor(transport: Pick<Transport, 'send'>, endpoint: Endpoint, repository: string, keyring: Keyring) {
    this.host = endpoint.host;
    this.repository = repository;
    this.#sender = new EndpointSender(transport, endpoint);
    this.#authorizer = new Authorizer(this.#sender, keyring, { host: endpoint.host, repository });
  }

  /** Of a path below the repository: `blobs/uploads/`. */
  urlOf(path: string): URL {
    return this.#sender.urlOf(`${this.repository}/${path}`);
  }

  /** `from`: another repository of the registry that the request reads. The reply is the caller's to judge. */
  send(url: URL, request: Request, signal: AbortSignal, from?: string): Promise<Reply> {
    const message = this.#message(request, signal);
    // Uploads may lead to a storage's host, which gets no credentials (CVE-2020-15157).
    if (!this.#sender.isOwn(url)) return this.#sender.send(url, message);
    return this.#authorizer.send(url, message, this.#scopes(from));
  }

  /** The same for a body that can be sent once. A refusal of the credentials can be mended by a request that has none. */
  async sendStream(url: URL, request: Request, signal: AbortSignal): Promise<Reply> {
    const message = this.#message(request, signal);
    if (!this.#sender.isOwn(url)) return this.#sender.send(url, message);
    const authorization = await this.#authorizer.header(this.#scopes(), signal);
    const headers = authorization === undefined ? message.headers : { ...message.headers, authorization };
    const reply = await this.#sender.send(url, { ...message, headers });
    if (reply.status === 401) throw temporary(await failureOf(reply, request.what));
    return reply;
  }

  #message({ method, body, headers }: Request, signal: AbortSignal): Message {
    return {
      ...(method !== undefined && { method }),
      ...(body !== undefined && { body }),
      headers: { ...headers, 'user-agent': 'berth' },
      signal,
    };
  }

  #scopes(from?: string): readonly string[] {
    return [pushScope(this.repository), ...(from === undefined ? [] : [pullScope(from)])];
  }

  /** Where the registry says that the upload goes on. */
  locationOf(reply: Reply, what: string): URL {
    const url = URL.parse(reply.headers.location ?? '', reply.url.href);
    if (url === null) throw new BerthError('unavailable', `${what}: ${this.host} does not say where to send it`);
    url.username = '';
    url.password = '';
    return url;
  }
}
