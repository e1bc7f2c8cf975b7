import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Image } from './image.ts';

type Next = () => void;
export type Behaviour = (request: IncomingMessage, response: ServerResponse, next: Next) => void;

/** A registry on loopback that serves what it is given, and behaves as badly as it is told. */
export interface TestRegistry extends AsyncDisposable {
  readonly host: string;
  /** `METHOD path authorization` of every request. */
  readonly requests: {
    readonly path: string;
    readonly authorization: string | undefined;
    readonly range: string | undefined;
    readonly headers: IncomingHttpHeaders;
  }[];
  behave(behaviour: Behaviour): void;
  /** `path` is that behind /v2/, as `app/manifests/1`. */
  put(path: string, type: string, body: Buffer): void;
  /** An image with all its blobs under a tag, in the repository `app` unless told. */
  add(tag: string, image: Image, repository?: string): void;
}

/** PEM. With `ca` clients need a certificate that it has signed. */
export interface RegistryTls {
  readonly cert: string;
  readonly key: string;
  readonly ca?: string;
}

export const startTestRegistry = async (
  options: { readonly tls?: RegistryTls; readonly address?: string; readonly port?: number } = {},
): Promise<TestRegistry> => {
  const { tls, address = '127.0.0.1', port = 0 } = options;
  const files = new Map<string, { readonly type: string; readonly body: Buffer }>();
  const requests: TestRegistry['requests'] = [];
  let behaviour: Behaviour = (_request, _response, next) => next();
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    const { url = '', headers } = request;
    requests.push({ path: url, authorization: headers.authorization, range: headers.range, headers });
    behaviour(request, response, () => answer(files.get(url.replace(/\?.*$/, '')), request, response));
  };
  const server =
    tls === undefined
      ? createServer(serve)
      : createTlsServer({ ...tls, requestCert: tls.ca !== undefined, rejectUnauthorized: true }, serve);
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(port, address, resolve);
  await promise;
  const put = (path: string, type: string, body: Buffer): void => void files.set(`/v2/${path}`, { type, body });
  return {
    host: `${address.includes(':') ? `[${address}]` : address}:${(server.address() as AddressInfo).port}`,
    requests,
    behave: (next) => {
      behaviour = next;
    },
    put,
    add: (tag, { manifest, blobs }, repository = 'app') => {
      for (const [digest, body] of blobs) put(`${repository}/blobs/${digest}`, 'application/octet-stream', body);
      const body = blobs.get(manifest.digest) ?? Buffer.alloc(0);
      for (const name of [tag, manifest.digest]) put(`${repository}/manifests/${name}`, manifest.mediaType, body);
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
};

const answer = (
  file: { readonly type: string; readonly body: Buffer } | undefined,
  request: IncomingMessage,
  response: ServerResponse,
): void => {
  if (file === undefined) {
    response.writeHead(404).end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not known"}]}');
    return;
  }
  const begin = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const { length } = file.body;
  const range = begin > 0 ? { 'content-range': `bytes ${begin}-${length - 1}/${length}` } : {};
  response.writeHead(begin > 0 ? 206 : 200, { 'content-type': file.type, 'content-length': length - begin, ...range });
  response.end(file.body.subarray(begin));
};

/**
 * Breaks the connection when the client, in this process or another, has had time to take what was written: turns of the event
 * loop, since a process that did not run for a while finds all its timers due at once.
 */
export const cut = (response: ServerResponse, turns = 8): void => {
  if (turns === 0) response.destroy();
  else setTimeout(() => cut(response, turns - 1), 5);
};

export const isBlob = ({ url = '' }: IncomingMessage): boolean => url.includes('/blobs/');
