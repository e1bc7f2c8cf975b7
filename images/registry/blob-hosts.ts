import type { Descriptor } from '../manifest.ts';
import { Attempts, type HostHealth } from './attempts.ts';
import type { Repository } from './repository.ts';
import { rangeOf } from './resume.ts';
import { isOutage } from './temporary.ts';
import type { Reply } from './transport.ts';

/** A host has given so many bytes. */
export type Served = (host: string, bytes: number) => void;

/**
 * Which hosts are asked for one blob. After a cut the next one goes on where the last was; when what came of that is not
 * the blob, nobody can say whose fault it is, and each has to give it whole.
 */
export class BlobHosts {
  readonly #blob: Descriptor;
  readonly #attempts: Attempts;
  readonly #served: Served;
  /** Who gave bytes since the beginning. */
  readonly #givers = new Set<Repository>();
  #isContinued = false;
  /** No two hosts' bytes are put together any more. */
  isAlone = false;

  constructor(blob: Descriptor, hosts: readonly Repository[], health: HostHealth, served: Served) {
    this.#blob = blob;
    this.#attempts = new Attempts(`blob ${blob.digest}`, hosts, health);
    this.#served = served;
  }

  /** A transfer begins; what is before `offset` is from an earlier one. */
  begin(offset: number): void {
    this.#givers.clear();
    this.#isContinued = offset > 0;
  }

  async open(begin: number, end: number, signal: AbortSignal): Promise<Reply> {
    const { digest, size } = this.#blob;
    const headers = rangeOf(begin, end, size);
    const { candidates } = this.#attempts;
    const isBound = this.isAlone && this.#givers.size > 0;
    const hosts = isBound ? candidates.filter((host) => this.#givers.has(host)) : candidates;
    const [host, reply] = await this.#attempts.first((one) => one.blob(digest, headers, signal), signal, hosts);
    this.#givers.add(host);
    return { ...reply, body: this.#watched(host, reply.body, signal) };
  }

  async *#watched(host: Repository, body: AsyncIterable<Buffer>, signal: AbortSignal): AsyncGenerator<Buffer> {
    try {
      for await (const chunk of body) {
        this.#served(host.host, chunk.length);
        yield chunk;
      }
    } catch (error) {
      if (!signal.aborted) this.#attempts.note(host, error);
      throw error;
    }
  }

  /** A transfer that broke off is one host's failure; what is told is that of all. */
  final(error: unknown): unknown {
    return isOutage(error) ? this.#attempts.error() : error;
  }

  /** Returns when another try from the beginning makes sense; else throws what is to be told. */
  blame(error: unknown): void {
    const givers = [...this.#givers];
    const isShared = givers.length > 1 || this.#isContinued;
    this.begin(0);
    if (givers.length === 0) throw error;
    if (isShared && !this.isAlone) {
      this.isAlone = true;
      return;
    }
    for (const host of givers) this.#attempts.refuse(host, error);
    if (this.#attempts.candidates.length === 0) throw this.#attempts.error();
  }
}
