import { type Digest, isDigest } from '../../base/digest.ts';
import { BerthError, codeOf, messageOf } from '../../base/errors.ts';
import { isExpansion } from '../layers/bound.ts';
import type { Descriptor } from '../manifest.ts';
import type { Document, Source } from '../source.ts';
import type { Log } from '../types.ts';
import { Attempts, type HostHealth } from './attempts.ts';
import { BlobHosts, type Served } from './blob-hosts.ts';
import type { Endpoint } from './hosts/endpoints.ts';
import type { Keyring } from './keyring.ts';
import { type RangeWindow, transferred } from './ranges.ts';
import { redacted } from './redact.ts';
import { Repository } from './repository.ts';
import type { Open } from './resume.ts';
import { canRetry, isOutage, type RetryPolicy, retrying, retryPolicy } from './temporary.ts';
import type { Transport } from './transport.ts';

export interface RegistryOptions {
  readonly keyring: Keyring;
  readonly retries?: RetryPolicy | undefined;
  /** What may be read ahead; without it each blob comes over one connection. */
  readonly window?: RangeWindow | undefined;
  readonly log?: Log;
  /** Is told of the bytes of blobs as they come. */
  readonly received?: ((bytes: number) => void) | undefined;
}

/** A repository by all hosts that are to be asked for it: mirrors in order, then the registry itself. */
export class Registry implements Source {
  readonly #hosts: readonly Repository[];
  readonly #policy: RetryPolicy;
  readonly #window: RangeWindow | undefined;
  readonly #health: HostHealth;
  readonly #received: (bytes: number) => void;
  readonly #blobs = new Map<Digest, BlobHosts>();
  /** Bytes of blobs by the host that gave them. */
  readonly served = new Map<string, number>();

  constructor(
    transport: Pick<Transport, 'send'>,
    endpoints: readonly Endpoint[],
    repository: string,
    { keyring, retries = retryPolicy, window, log, received }: RegistryOptions,
  ) {
    this.#hosts = withoutRepeats(endpoints).map((endpoint) => new Repository(transport, endpoint, repository, keyring));
    this.#policy = retries;
    this.#window = window;
    this.#received = received ?? (() => undefined);
    // A mirror that has not everything is as it should be.
    const onFailure: HostHealth['onFailure'] = (host, what, error) =>
      log?.[codeOf(error) === 'not-found' ? 'debug' : 'warn'](
        { host, repository, error: redacted(messageOf(error)) },
        `${what}: not from this host`,
      );
    this.#health = { slow: new Set(), onFailure };
  }

  /** The manifest or index of a tag, from who may resolve tags, or of a digest, from anyone. */
  async manifest(tagOrDigest: string, signal: AbortSignal): Promise<Document> {
    const what = `manifest ${tagOrDigest}`;
    const isTag = !isDigest(tagOrDigest);
    const hosts = this.#able(what).filter((host) => !isTag || host.can('resolve'));
    if (hosts.length === 0) throw noHost(what, 'resolve');
    const attempts = new Attempts(what, hosts, this.#health);
    const ask = () => attempts.first((host) => host.manifest(tagOrDigest, signal), signal);
    const [, document] = await retrying(ask, this.#policy, signal);
    return document;
  }

  async referrers(digest: Digest, signal: AbortSignal): Promise<Document> {
    const what = `referrers of ${digest}`;
    const attempts = new Attempts(what, this.#able(what), this.#health);
    const ask = () => attempts.first((host) => host.referrers(digest, signal), signal);
    const [, document] = await retrying(ask, this.#policy, signal);
    return document;
  }

  #able(what: string): readonly Repository[] {
    const hosts = this.#hosts.filter((host) => host.can('pull'));
    if (hosts.length === 0) throw noHost(what, 'pull');
    return hosts;
  }

  blob(descriptor: Descriptor, signal: AbortSignal): AsyncIterable<Buffer> {
    return this.blobFrom(descriptor, 0, signal);
  }

  blobFrom(descriptor: Descriptor, begin: number, signal: AbortSignal): AsyncIterable<Buffer> {
    const { digest, size } = descriptor;
    const what = `blob ${digest}`;
    const hosts = this.#blobs.get(digest) ?? new BlobHosts(descriptor, this.#able(what), this.#health, this.#note);
    this.#blobs.set(digest, hosts);
    hosts.begin(begin);
    const open: Open = (from, to, within) => hosts.open(from, to, within);
    return transferred(open, begin, { size, what, policy: this.#policy, signal }, this.#window);
  }

  readonly #note: Served = (host, bytes) => {
    this.served.set(host, (this.served.get(host) ?? 0) + bytes);
    this.#received(bytes);
  };

  again({ digest }: Descriptor, error: unknown): void {
    const hosts = this.#blobs.get(digest);
    if (hosts === undefined) throw error;
    // That all hosts were asked and none could go on is final, but not what one of them did alone.
    if (isOfContent(error) || (hosts.isAlone && codeOf(error) === 'unavailable')) hosts.blame(error);
    else throw hosts.final(error);
  }
}

/**
 * A file that gives the registry its CA under `[host]` names it again as `server`, without: asked once more it could only
 * hide what it has answered.
 */
const withoutRepeats = (endpoints: readonly Endpoint[]): readonly Endpoint[] =>
  endpoints.filter((one, at) => {
    const covers = ({ base, capabilities }: Endpoint): boolean =>
      base.href === one.base.href &&
      (['pull', 'resolve'] as const).every((each) => capabilities.has(each) || !one.capabilities.has(each));
    return !endpoints.slice(0, at).some(covers);
  });

/** Wrong bytes, what cannot be unpacked, or unpacks to too much: before the digest is known nobody can say whether they are the image's. */
const isOfContent = (error: unknown): boolean =>
  isExpansion(error) ||
  (['data-loss', 'invalid-argument'].includes(codeOf(error)) && !isOutage(error) && !canRetry(error));

const noHost = (what: string, capability: string): BerthError =>
  new BerthError('failed-precondition', `${what}: no host in hosts.toml has the capability ${capability}`);
