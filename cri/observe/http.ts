import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { socketPath } from '../../api/address.ts';
import { listenOn } from '../../api/listen.ts';
import { BerthError, messageOf } from '../../base/errors.ts';
import type { Log } from '../log.ts';
import { parseEndpoint } from './endpoint.ts';

export interface Page {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/** By path; `isVerbose` when the query has `verbose`. */
export type Pages = Readonly<Record<string, (isVerbose: boolean) => Promise<Page>>>;

/** From the connection to the end of the request, and between two of them; an idle collector keeps its connection. */
const requestMs = 5000;
const idleMs = 120_000;
const mostConnections = 32;
/** Of one page in a second. A page costs milliseconds, and on the loopback anyone may ask. */
const mostRequests = 50;

const plain = 'text/plain; charset=utf-8';
const methods = ['GET', 'HEAD'];

/** Serves a few pages to whoever may connect; none of its clients can take more of the daemon than a small part. */
export class ObserveServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #pages: Pages;
  readonly #log: Log;
  /** Who has asked, or come, last is last. */
  readonly #sockets = new Set<Socket>();
  #second = 0;
  /** Of this second, by page: whoever asks too much for one of them, takes nothing from who asks for another. */
  readonly #requests = new Map<Pages[string], number>();

  private constructor(pages: Pages, log: Log) {
    this.#pages = pages;
    this.#log = log;
    this.#server = createServer(
      {
        headersTimeout: requestMs,
        requestTimeout: requestMs,
        keepAliveTimeout: idleMs,
        connectionsCheckingInterval: requestMs,
        maxHeaderSize: 8 << 10,
      },
      (request, response) => void this.#serve(request, response),
    );
    // who does not read its page
    this.#server.setTimeout(idleMs, (socket) => socket.destroy());
    this.#server.on('connection', (socket) => {
      this.#note(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  /** Nobody keeps others out by connections that do nothing: where there are too many, who asked longest ago makes room. */
  #note(socket: Socket): void {
    this.#sockets.delete(socket);
    this.#sockets.add(socket);
    const [oldest] = this.#sockets;
    if (this.#sockets.size <= mostConnections || oldest === undefined) return;
    this.#sockets.delete(oldest);
    oldest.destroy();
  }

  /** `address`: `unix:///path` or `127.0.0.1:9464`. Error: failed-precondition when it cannot listen there. */
  static async open(address: string, pages: Pages, log: Log): Promise<ObserveServer> {
    const server = new ObserveServer(pages, log);
    await server.#listen(address);
    server.#server.on('error', (error) => log.warn({ error: messageOf(error) }, 'metrics: no connection was taken'));
    return server;
  }

  async #listen(address: string): Promise<void> {
    const endpoint = parseEndpoint(address);
    if (endpoint === undefined) return listenOn(this.#server, socketPath(address));
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#server.once('error', (error) =>
      reject(new BerthError('failed-precondition', `metrics: listen on ${address}: ${messageOf(error)}`)),
    );
    this.#server.listen(endpoint, resolve);
    return promise;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (!request.socket.destroyed) this.#note(request.socket);
    response.on('error', (error) => this.#log.debug({ error: messageOf(error) }, 'metrics: an answer was not read'));
    const { status, type, body } = await this.#page(request).catch(failure);
    const headers: Record<string, string> = { 'Content-Type': type, 'Content-Length': `${Buffer.byteLength(body)}` };
    if (status === 405) headers.Allow = methods.join(', ');
    // What else it may send is not read.
    if (hasBody(request) || status === 429) headers.Connection = 'close';
    response.writeHead(status, headers).end(request.method === 'HEAD' ? '' : body);
  }

  async #page({ method = '', url = '' }: IncomingMessage): Promise<Page> {
    const [path = '', query = ''] = url.split('?', 2);
    const page = Object.hasOwn(this.#pages, path) ? this.#pages[path] : undefined;
    if (page === undefined) return text(404, `there is no such page; there are ${Object.keys(this.#pages).join(', ')}`);
    if (!methods.includes(method)) return text(405, `${method.slice(0, 20)} is not for this page`);
    if (this.#isTooMany(page)) return text(429, `more than ${mostRequests} requests for ${path} in a second`);
    return page(new URLSearchParams(query).has('verbose'));
  }

  #isTooMany(page: Pages[string]): boolean {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#second) this.#requests.clear();
    this.#second = second;
    const requests = (this.#requests.get(page) ?? 0) + 1;
    this.#requests.set(page, requests);
    return requests > mostRequests;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0';

export const text = (status: number, line: string): Page => ({ status, type: plain, body: `${line}\n` });

const failure = (error: unknown): Page => text(500, messageOf(error));
