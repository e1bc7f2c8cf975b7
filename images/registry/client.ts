import { type Digest, isDigest } from '../../base/digest.ts';
import { BerthError } from '../../base/errors.ts';
import { checkBytes, digestOf } from '../blobs/verify.ts';
import { documentLimit } from '../json.ts';
import type { Descriptor } from '../manifest.ts';
import { acceptedManifests } from '../media-types.ts';
import type { Reference } from '../reference.ts';
import type { Document, Source } from '../source.ts';
import { Authorizer } from './authorizer.ts';
import type { Keyring } from './keyring.ts';
import { type RangeWindow, transferred } from './ranges.ts';
import { failureOf, readWhole } from './reply.ts';
import { type Open, rangeOf } from './resume.ts';
import { type RetryPolicy, retrying, retryPolicy } from './temporary.ts';
import type { Reply, Transport } from './transport.ts';

const mostRedirects = 5;
const redirects = [301, 302, 303, 307, 308];

/** Docker Hub's API is at another host than its name. */
const apiHost = (host: string): string => (host === 'docker.io' ? 'registry-1.docker.io' : host);

export interface RegistryOptions {
  readonly keyring: Keyring;
  readonly retries?: RetryPolicy | undefined;
  /** What may be read ahead; without it each blob comes over one connection. */
  readonly window?: RangeWindow | undefined;
}

/** One repository of a registry, by the OCI distribution spec's pull endpoints. */
export class Registry implements Source {
  readonly #transport: Transport;
  readonly #base: URL;
  readonly #authorizer: Authorizer;
  readonly #policy: RetryPolicy;
  readonly #window: RangeWindow | undefined;

  constructor(
    transport: Transport,
    { host, repository }: Reference,
    { keyring, retries = retryPolicy, window }: RegistryOptions,
  ) {
    this.#transport = transport;
    this.#base = new URL(`v2/${repository}/`, transport.origin(apiHost(host)));
    this.#authorizer = new Authorizer(transport, keyring, { host, repository });
    this.#policy = retries;
    this.#window = window;
  }

  /** The manifest or index of a tag or digest, at most 4 MiB, checked against its digest. */
  async manifest(tagOrDigest: string, signal: AbortSignal): Promise<Document> {
    const what = `manifest ${tagOrDigest}`;
    const read = async (): Promise<[Reply, Buffer]> => {
      const reply = await this.#get(`manifests/${tagOrDigest}`, { accept: acceptedManifests }, what, signal);
      return [reply, await readWhole(reply, documentLimit, what)];
    };
    const [reply, bytes] = await retrying(read, this.#policy, signal);
    const mediaType = (reply.headers['content-type'] ?? '').split(';', 1)[0]?.trim() ?? '';
    return { bytes, mediaType, digest: checkManifest(bytes, tagOrDigest, reply, what) };
  }

  blob(descriptor: Descriptor, signal: AbortSignal): AsyncIterable<Buffer> {
    return this.blobFrom(descriptor, 0, signal);
  }

  blobFrom(descriptor: Descriptor, begin: number, signal: AbortSignal): AsyncIterable<Buffer> {
    const { digest, size } = descriptor;
    const what = `blob ${digest}`;
    const open: Open = (from, to, within) => this.#get(`blobs/${digest}`, rangeOf(from, to, size), what, within);
    return transferred(open, begin, { size, what, policy: this.#policy, signal }, this.#window);
  }

  /** GET with credentials where they belong; a reply that is not a success is an error. */
  async #get(
    path: string,
    wanted: Readonly<Record<string, string>>,
    what: string,
    signal: AbortSignal,
  ): Promise<Reply> {
    const headers = { ...wanted, 'accept-encoding': 'identity', 'user-agent': 'berth' };
    const first = new URL(path, this.#base);
    let reply = await this.#authorizer.send(first, { headers, signal });
    for (let hops = 0; redirects.includes(reply.status); hops += 1) {
      if (hops === mostRedirects) throw new BerthError('unavailable', `${what}: more than ${mostRedirects} redirects`);
      reply = await this.#follow(reply, headers, what, signal);
    }
    // A part that was not asked for is no success.
    if (reply.status === 200 || (reply.status === 206 && wanted.range !== undefined)) return reply;
    throw await failureOf(reply, what);
  }

  async #follow(
    reply: Reply,
    headers: Readonly<Record<string, string>>,
    what: string,
    signal: AbortSignal,
  ): Promise<Reply> {
    reply.discard();
    const url = URL.parse(reply.headers.location ?? '', reply.url.href);
    if (url === null) throw new BerthError('unavailable', `${what}: ${reply.url.host} redirects to what is not a URL`);
    url.username = '';
    url.password = '';
    // Credentials are the registry's own (CVE-2020-15157); another origin gets the bare request.
    if (url.origin === this.#base.origin) return this.#authorizer.send(url, { headers, signal });
    return this.#transport.send(url, { headers, signal });
  }
}

const checkManifest = (bytes: Buffer, asked: string, reply: Reply, what: string): Digest => {
  const told = reply.headers['docker-content-digest'];
  if (typeof told === 'string' && isDigest(told)) checkBytes(bytes, told, what);
  if (!isDigest(asked)) return digestOf(bytes);
  checkBytes(bytes, asked, what);
  return asked;
};
