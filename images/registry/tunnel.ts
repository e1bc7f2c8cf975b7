import { request as httpRequest } from 'node:http';
import { type AgentOptions, Agent as HttpsAgent, request as httpsRequest, type RequestOptions } from 'node:https';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect, type SecureContext } from 'node:tls';
import { BerthError, messageOf } from '../../base/errors.ts';
import type { HttpProxy } from './proxy.ts';
import { outage, temporary } from './temporary.ts';

export interface TunnelOptions {
  readonly proxy: HttpProxy;
  /** For a proxy that is spoken to by TLS. */
  readonly secureContext: SecureContext | undefined;
  readonly dialMs: number;
}

interface ProxyAddress {
  readonly host: string;
  readonly hostname: string;
  readonly port: number;
  readonly servername: string;
}

type Created = (error: Error | null, stream: Duplex) => void;

/** Connections through a proxy's CONNECT, with TLS to the host inside. */
export class TunnelAgent extends HttpsAgent {
  readonly #tunnel: TunnelOptions;

  constructor(options: AgentOptions, tunnel: TunnelOptions) {
    super(options);
    this.#tunnel = tunnel;
  }

  override createConnection(options: RequestOptions, callback?: Created): undefined {
    openTunnel(this.#tunnel, `${bracketed(options.host ?? '')}:${options.port ?? 443}`).then(
      (socket) => callback?.(null, connect({ ...(options as object), socket })),
      // The types want a stream with the error; Node looks at none then.
      (error: unknown) => callback?.(error as Error, undefined as unknown as Duplex),
    );
    return undefined;
  }
}

const bracketed = (host: string): string => (host.includes(':') && !host.startsWith('[') ? `[${host}]` : host);

const openTunnel = async (tunnel: TunnelOptions, target: string): Promise<Duplex> => {
  const { proxy, secureContext, dialMs } = tunnel;
  const what = `proxy ${proxy.name} for ${target}`;
  const { promise, resolve, reject } = Promise.withResolvers<Duplex>();
  const headers = { host: target, ...proxyHeaders(proxy) };
  const options = { method: 'CONNECT', path: target, headers, agent: false, ...addressOf(proxy) } as const;
  const secure = { ...options, secureContext };
  const request = proxy.url.protocol === 'https:' ? httpsRequest(secure) : httpRequest(options);
  const timer = setTimeout(() => request.destroy(new Error(`no answer in ${dialMs} ms`)), dialMs);
  request.once('connect', ({ statusCode = 0 }, socket) => {
    if (statusCode === 200) return resolve(socket);
    socket.destroy();
    reject(refused(what, statusCode));
  });
  request.on('error', (error) =>
    reject(temporary(outage(new BerthError('unavailable', `${what} cannot be reached: ${messageOf(error)}`)))),
  );
  request.end();
  return await promise.finally(() => clearTimeout(timer));
};

/** A gateway's own trouble may pass; a refusal is meant. */
const refused = (what: string, status: number): BerthError => {
  if (status === 407) return new BerthError('failed-precondition', `${what} answers 407: it refuses the credentials`);
  if (status < 500) return new BerthError('failed-precondition', `${what} answers ${status} to CONNECT`);
  return temporary(outage(new BerthError('unavailable', `${what} answers ${status} to CONNECT`)));
};

/** Where the proxy listens, and by which name it is known: the Host header names another. */
export const addressOf = ({ url }: HttpProxy): ProxyAddress => {
  const hostname = url.hostname.replace(/^\[|\]$/g, '');
  const port = Number(url.port || (url.protocol === 'https:' ? 443 : 80));
  return { host: hostname, hostname, port, servername: isIP(hostname) === 0 ? hostname : '' };
};

export const proxyHeaders = ({ authorization }: HttpProxy): Readonly<Record<string, string>> =>
  authorization === undefined ? {} : { 'proxy-authorization': authorization };
