import { type Digest, isDigest } from '../../base/digest.ts';
import { BerthError } from '../../base/errors.ts';
import { checkBytes, digestOf } from '../blobs/verify.ts';
import { documentLimit, parseObject } from '../json.ts';
import { acceptedManifests } from '../media-types.ts';
import type { Document } from '../source.ts';
import { Authorizer } from './authorizer.ts';
import { EndpointSender } from './endpoint-sender.ts';
import type { Capability, Endpoint } from './hosts/endpoints.ts';
import type { Keyring } from './keyring.ts';
import { failureOf, readWhole } from './reply.ts';
import type { Reply, Transport } from './transport.ts';

const mostRedirects = 5;
const redirects = [301, 302, 303, 307, 308];

/** One repository at one host, by the OCI distribution spec's pull endpoints. Nothing is tried twice here. */
export class Repository {
  readonly host: string;
  readonly #endpoint: Endpoint;
  readonly #repository: string;
  readonly #sender: EndpointSender;
  readonly #authorizer: Authorizer;

  constructor(transport: Pick<Transport, 'send'>, endpoint: Endpoint, repository: string, keyring: Keyring) {
    const { host } = endpoint;
    this.host = host;
    this.#endpoint = endpoint;
    this.#repository = repository;
    this.#sender = new EndpointSender(transport, endpoint);
    this.#authorizer = new Authorizer(this.#sender, keyring, { host, repository });
  }

  can(capability: Capability): boolean {
    return this.#endpoint.capabilities.has(capability);
  }

  /** The manifest or index of a tag or digest, at most 4 MiB, checked against its digest. */
  async manifest(tagOrDigest: string, signal: AbortSignal): Promise<Document> {
    const what = `manifest ${tagOrDigest}`;
    const reply = await this.#get(`manifests/${tagOrDigest}`, { accept: acceptedManifests }, what, signal);
    const bytes = await readWhole(reply, documentLimit, what);
    const mediaType = (reply.headers['content-type'] ?? '').split(';', 1)[0]?.trim() ?? '';
    return { bytes, mediaType, digest: checkManifest(bytes, tagOrDigest, reply, what) };
  }

  /** The index of what refers to a manifest (distribution spec, Listing Referrers), not checked: it has no digest. */
  async referrers(digest: Digest, signal: AbortSignal): Promise<Document> {
    const what = `referrers of ${digest}`;
    const reply = await this.#get(`referrers/${digest}`, { accept: acceptedManifests }, what, signal);
    const bytes = await readWhole(reply, documentLimit, what);
    return { bytes, mediaType: '', digest: digestOf(bytes) };
  }

  /** `headers`: a range, or none. The reply has 206, or 200 where the host knows no ranges. */
  blob(digest: Digest, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<Reply> {
    return this.#get(`blobs/${digest}`, headers, `blob ${digest}`, signal);
  }

  /** GET with credentials where they belong; a reply that is not a success is an error. */
  async #get(
    path: string,
    wanted: Readonly<Record<string, string>>,
    what: string,
    signal: AbortSignal,
  ): Promise<Reply> {
    const headers = { ...wanted, 'accept-encoding': 'identity', 'user-agent': 'berth' };
    const first = this.#sender.urlOf(`${this.#repository}/${path}`);
    let reply = await this.#authorizer.send(first, { headers, signal });
    for (let hops = 0; redirects.includes(reply.status); hops += 1) {
      if (hops === mostRedirects) {
        reply.discard();
        throw new BerthError('unavailable', `${what}: ${this.host} leads to more than ${mostRedirects} redirects`);
      }
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
    const { location } = reply.headers;
    const url = location === undefined ? null : URL.parse(location, reply.url.href);
    if (url === null) throw new BerthError('unavailable', `${what}: ${reply.url.host} redirects to what is not a URL`);
    url.username = '';
    url.password = '';
    // Credentials are the registry's own (CVE-2020-15157); another origin gets the bare request.
    return (this.#sender.isOwn(url) ? this.#authorizer : this.#sender).send(url, { headers, signal });
  }
}

const checkManifest = (bytes: Buffer, asked: string, reply: Reply, what: string): Digest => {
  const told = reply.headers['docker-content-digest'];
  if (typeof told === 'string' && isDigest(told)) checkBytes(bytes, told, what);
  if (!isDigest(asked)) {
    // The page of a portal, say, with the status 200: another host may have a manifest.
    parseObject(bytes, what);
    return digestOf(bytes);
  }
  checkBytes(bytes, asked, what);
  return asked;
};
