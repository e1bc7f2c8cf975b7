import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** One that can be pushed to, on loopback: the distribution spec's upload endpoints, kept in memory. */
export interface PushRegistry extends AsyncDisposable {
  readonly host: string;
  /** `METHOD path` of every request, upload ids as `ID`, with the range that it sends. */
  readonly requests: string[];
  /** By `repository digest`. */
  readonly blobs: Map<string, Buffer>;
  /** By `repository tag` and `repository digest`. */
  readonly manifests: Map<string, { readonly type: string; readonly body: Buffer }>;
  /** Uploads that were begun and not ended. */
  readonly uploads: Map<string, Buffer>;
  /** Handles a request itself when it gives true; `body` is what there is of it so far for an upload. */
  behave(behaviour: Behaviour): void;
  /** The least that a chunk must have. */
  leastChunk: number;
}

export type Behaviour = (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>;

const digestOf = (body: Buffer): string => `sha256:${createHash('sha256').update(body).digest('hex')}`;

const bodyOf = async (request: IncomingMessage, take: (chunk: Buffer) => void): Promise<void> => {
  for await (const chunk of request as AsyncIterable<Buffer>) take(chunk);
};

export const startPushRegistry = async (): Promise<PushRegistry> => {
  let behaviour: Behaviour = () => false;
  let serial = 0;
  const blobs: PushRegistry['blobs'] = new Map();
  const manifests: PushRegistry['manifests'] = new Map();
  const uploads: PushRegistry['uploads'] = new Map();
  const requests: string[] = [];

  const begin = (repository: string, query: URLSearchParams, response: ServerResponse): void => {
    const [digest = '', from = ''] = [query.get('mount') ?? '', query.get('from') ?? ''];
    const there = blobs.get(`${from} ${digest}`);
    if (there !== undefined) {
      blobs.set(`${repository} ${digest}`, there);
      response.writeHead(201, { location: `/v2/${repository}/blobs/${digest}` }).end();
      return;
    }
    serial += 1;
    uploads.set(`${serial}`, Buffer.alloc(0));
    const least = registry.leastChunk === 0 ? {} : { 'oci-chunk-min-length': String(registry.leastChunk) };
    response.writeHead(202, { location: `/v2/${repository}/blobs/uploads/${serial}?state=a%2Fb%3D`, ...least }).end();
  };

  const standing = (id: string, repository: string, status: number, response: ServerResponse): void => {
    const last = Math.max(0, (uploads.get(id)?.length ?? 0) - 1);
    const location = `/v2/${repository}/blobs/uploads/${id}?state=a%2Fb%3D`;
    response.writeHead(status, { location, range: `0-${last}` }).end();
  };

  const upload = async (
    request: IncomingMessage,
    response: ServerResponse,
    [repository, id, query]: readonly [string, string, URLSearchParams],
  ): Promise<void> => {
    const there = uploads.get(id);
    if (there === undefined || query.get('state') !== 'a/b=') return void response.writeHead(404).end();
    const begins = Number(/^(\d+)-/.exec(request.headers['content-range'] ?? '')?.[1] ?? there.length);
    if (request.method === 'GET') return standing(id, repository, 204, response);
    if (request.method === 'DELETE') uploads.delete(id);
    if (request.method === 'DELETE') return void response.writeHead(204).end();
    if (begins !== there.length) return standing(id, repository, 416, response);
    const chunks = [there];
    // What has come before a cut stays, as it does in a registry.
    await bodyOf(request, (chunk) => void chunks.push(chunk)).finally(() => uploads.set(id, Buffer.concat(chunks)));
    if (request.method === 'PATCH') return standing(id, repository, 202, response);
    const [body = Buffer.alloc(0), digest = ''] = [uploads.get(id), query.get('digest') ?? ''];
    uploads.delete(id);
    if (digestOf(body) !== digest)
      return void response.writeHead(400).end('{"errors":[{"code":"DIGEST_INVALID","message":"wrong"}]}');
    blobs.set(`${repository} ${digest}`, body);
    response.writeHead(201).end();
  };

  const manifest = async (
    request: IncomingMessage,
    response: ServerResponse,
    [repository, name]: readonly [string, string],
  ): Promise<void> => {
    const there = manifests.get(`${repository} ${name}`);
    if (request.method !== 'PUT') {
      const headers = there && { 'content-type': there.type, 'docker-content-digest': digestOf(there.body) };
      return void response.writeHead(there === undefined ? 404 : 200, headers).end(there?.body);
    }
    const chunks: Buffer[] = [];
    await bodyOf(request, (chunk) => void chunks.push(chunk));
    const body = Buffer.concat(chunks);
    const kept = { type: request.headers['content-type'] ?? '', body };
    manifests.set(`${repository} ${name}`, kept).set(`${repository} ${digestOf(body)}`, kept);
    response.writeHead(201, { 'docker-content-digest': digestOf(body) }).end();
  };

  const route = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://registry');
    const range = request.headers['content-range'];
    const seen = decodeURIComponent(request.url ?? '').replace(/uploads\/\d+\?state=a\/b=/, 'uploads/ID');
    requests.push(`${request.method} ${seen}${range === undefined ? '' : ` ${range}`}`);
    if (await behaviour(request, response)) return;
    const [, repository = '', kind, rest = ''] = /^\/v2\/(.+)\/(blobs|manifests)\/(.*)$/.exec(pathname) ?? [];
    if (kind === 'manifests') return manifest(request, response, [repository, rest]);
    const [, id] = /^uploads\/(.*)$/.exec(rest) ?? [];
    if (id === '') return begin(repository, searchParams, response);
    if (id !== undefined) return upload(request, response, [repository, id, searchParams]);
    response.writeHead(blobs.has(`${repository} ${rest}`) ? 200 : 404).end();
  };

  const server = createServer((request, response) => {
    // A client that cuts is what a test wants.
    route(request, response).catch(() => response.destroy());
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  const registry: PushRegistry = {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    blobs,
    manifests,
    uploads,
    leastChunk: 0,
    behave: (next) => {
      behaviour = next;
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
  return registry;
};
