import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttpsServer, Server as HttpsServer } from 'node:https';
import { type AddressInfo, isIPv6, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { backlog, listenOn } from '../../api/listen.ts';
import { BerthError, messageOf } from '../../base/errors.ts';
import type { Log } from '../log.ts';
import { type CertificateFiles, reloadCertificates, tlsOptions } from './certificates.ts';
import { answerOn, Refusal } from './refuse.ts';
import { serveSession } from './serve.ts';
import type { Session, SessionLimits } from './session.ts';
import { Strangers } from './strangers.ts';
import { Tokens } from './tokens.ts';

export interface StreamingOptions extends SessionLimits {
  /** An IP address of this machine. */
  readonly address: string;
  /** 0: any. */
  readonly port: number;
  /** Undefined: no TLS. */
  readonly certificates: CertificateFiles | undefined;
  /** A unix socket that serves the same sessions without TLS to clients of this machine who have our rights. */
  readonly local?: string | undefined;
  /** How often the certificates are looked at; 30 s unless told. */
  readonly reloadMs?: number;
  readonly log: Log;
}

/** From the connection to the end of the request's headers. */
const requestMs = 10_000;
const settings = {
  headersTimeout: requestMs,
  requestTimeout: requestMs,
  maxHeaderSize: 16 << 10,
  connectionsCheckingInterval: requestMs,
};
/** As many as there are tokens. */
const mostStrangers = 1000;

/** Serves exec, attach and port-forward to whoever has the URL that the RPC gave out. */
export class StreamingServer implements AsyncDisposable {
  #options: StreamingOptions;
  readonly #server: Server | HttpsServer;
  readonly #tokens = new Tokens<Session>();
  readonly #sockets = new Set<Duplex>();
  readonly #strangers = new Strangers(mostStrangers);
  readonly #stack = new DisposableStack();
  #local: Server | undefined;

  private constructor(server: Server | HttpsServer, options: StreamingOptions) {
    this.#server = server;
    this.#options = options;
    this.#serve(server);
    if (server instanceof HttpsServer && options.certificates !== undefined)
      this.#stack.use(reloadCertificates(server, options.certificates, options.log, options.reloadMs));
  }

  #serve(server: Server | HttpsServer): void {
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      this.#strangers.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    server.on('request', (request, response) => this.#plain(request, response));
    server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** Errors: `failed-precondition` when it cannot listen there, or its certificates cannot be used. */
  static async start(options: StreamingOptions): Promise<StreamingServer> {
    try {
      const server =
        options.certificates === undefined
          ? createHttpServer(settings)
          : createHttpsServer({
              ...settings,
              handshakeTimeout: requestMs,
              ...(await tlsOptions(options.certificates)),
            });
      const streaming = new StreamingServer(server, options);
      await listen(server, options);
      if (options.local !== undefined) await streaming.#listenLocally(options.local);
      for (const each of streaming.#servers())
        each.on('error', (error) =>
          options.log.warn({ error: messageOf(error) }, 'streaming: no connection was taken'),
        );
      return streaming;
    } catch (error) {
      const place = `${options.address} port ${options.port}`;
      throw new BerthError('failed-precondition', `streaming: listen on ${place}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  async #listenLocally(path: string): Promise<void> {
    const server = createHttpServer(settings);
    this.#serve(server);
    try {
      await listenOn(server, path);
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
    this.#local = server;
  }

  /** A URL that serves the session once, within a minute. Errors: `resource-exhausted`. */
  urlOf(session: Session): string {
    return `${this.base}/${session.kind}/${this.#tokens.give(session)}`;
  }

  /** For the sessions that begin from now on. */
  limit({ idleMs, creationMs }: SessionLimits): void {
    this.#options = { ...this.#options, idleMs, creationMs };
  }

  /** `http://127.0.0.1:38411` */
  get base(): string {
    const { address } = this.#options;
    const { port } = this.#server.address() as AddressInfo;
    return `${this.#server instanceof HttpsServer ? 'https' : 'http'}://${isIPv6(address) ? `[${address}]` : address}:${port}`;
  }

  /** Ends every session. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stack.dispose();
    const closed = this.#servers().map((server) => new Promise<void>((resolve) => server.close(() => resolve())));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }

  #servers(): readonly (Server | HttpsServer)[] {
    return this.#local === undefined ? [this.#server] : [this.#server, this.#local];
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => undefined); // 'close' follows
    try {
      const session = this.#sessionOf(request);
      this.#strangers.admit(request.socket);
      serveSession(session, { request, socket, head }, this.#options, this.#options.log);
    } catch (error) {
      const refusal = error instanceof Refusal ? error : new Refusal(500, messageOf(error));
      answerOn(socket, refusal);
    }
  }

  /** Without an upgrade there is nothing to be had; who has a token is told what is missing. */
  #plain(request: IncomingMessage, response: ServerResponse): void {
    const { status, message } = this.#refusalOf(request);
    response
      .writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8', Connection: 'close' })
      .end(`${message}\n`);
    request.resume();
  }

  #refusalOf(request: IncomingMessage): Refusal {
    try {
      this.#sessionOf(request);
      return new Refusal(400, 'unable to upgrade: the request has no upgrade to SPDY/3.1 or websocket');
    } catch (error) {
      return error instanceof Refusal ? error : new Refusal(500, messageOf(error));
    }
  }

  #sessionOf({ method, url = '' }: IncomingMessage): Session {
    const [, kind, token] = /^\/(exec|attach|portforward)\/([A-Za-z0-9_-]+)(?:\?|$)/.exec(url) ?? [];
    if (kind === undefined || token === undefined) throw new Refusal(404, 'there is no such page');
    if (method !== 'GET' && method !== 'POST')
      throw new Refusal(405, `${method} is not for streams`, { Allow: 'GET, POST' });
    const session = this.#tokens.take(token);
    if (session?.kind !== kind) throw new Refusal(404, 'the token is unknown, used or too old');
    return session;
  }
}

const listen = (server: Server | HttpsServer, { address, port }: StreamingOptions): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: address, port, backlog }, resolve);
  });
