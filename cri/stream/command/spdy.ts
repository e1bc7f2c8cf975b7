import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import { BerthError, invalid } from '../../../base/errors.ts';
import type { WantedStreams } from '../../../shim/streams.ts';
import { Idle } from '../idle.ts';
import type { SessionLimits } from '../session.ts';
import { SpdyConnection } from '../spdy/connection.ts';
import type { SpdyStream } from '../spdy/stream.ts';
import type { CommandClient } from './run.ts';
import { type Status, statusText } from './status.ts';

/** What may be asked for in `X-Stream-Protocol-Version`. 2 mends 1's early end of stdin, 3 adds resize, 4 the status as an object. */
export const spdyCommandProtocols = [
  'v4.channel.k8s.io',
  'v3.channel.k8s.io',
  'v2.channel.k8s.io',
  'channel.k8s.io',
] as const;
export type SpdyCommandProtocol = (typeof spdyCommandProtocols)[number];

const types = ['error', 'stdin', 'stdout', 'stderr', 'resize'] as const;
type Type = (typeof types)[number];

/** The client's side of an exec or attach over SPDY: a stream for each of stdin, stdout, …, in any order. */
export class SpdyCommandClient implements CommandClient {
  readonly #connection: SpdyConnection;
  readonly #protocol: SpdyCommandProtocol;
  readonly #wanted: ReadonlySet<Type>;
  readonly #streams = new Map<Type, SpdyStream>();
  readonly #complete = Promise.withResolvers<void>();
  readonly #lost = new AbortController();

  private constructor(socket: Duplex, protocol: SpdyCommandProtocol, wanted: ReadonlySet<Type>, idleMs: number) {
    this.#protocol = protocol;
    this.#wanted = wanted;
    const idle = new Idle(idleMs, () => this.#connection.destroy('no data for too long'));
    this.#connection = new SpdyConnection(socket, {
      stream: (stream) => this.#add(stream),
      active: () => idle.touch(),
      closed: () => {
        idle[Symbol.dispose]();
        this.#lost.abort();
        this.#complete.reject(new BerthError('cancelled', 'the client went'));
      },
    });
  }

  /** Resolves when the client has opened all that it wanted. Errors: `deadline-exceeded`, `cancelled`; it is closed then. */
  static async open(
    socket: Duplex,
    protocol: SpdyCommandProtocol,
    wanted: WantedStreams,
    limits: SessionLimits,
  ): Promise<SpdyCommandClient> {
    const client = new SpdyCommandClient(socket, protocol, typesOf(wanted, protocol), limits.idleMs);
    const late = (): void => {
      client.#complete.reject(new BerthError('deadline-exceeded', 'the client did not open its streams in time'));
      client.#connection.close();
    };
    const timer = setTimeout(late, limits.creationMs);
    await client.#complete.promise.finally(() => clearTimeout(timer));
    // the first version's stdin never was two-way
    if (protocol === 'channel.k8s.io') client.#streams.get('stdin')?.end();
    return client;
  }

  get stdin(): SpdyStream | undefined {
    return this.#streams.get('stdin');
  }

  get stdout(): SpdyStream | undefined {
    return this.#streams.get('stdout');
  }

  get stderr(): SpdyStream | undefined {
    return this.#streams.get('stderr');
  }

  get resize(): SpdyStream | undefined {
    return this.#streams.get('resize');
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async finish(status: Status): Promise<void> {
    this.#streams.get('error')?.write(statusText(status, this.#protocol === 'v4.channel.k8s.io'));
    await Promise.all([...this.#streams.values()].map(ended));
    this.#connection.close();
  }

  #add(stream: SpdyStream): void {
    const name = stream.headers.get('streamtype') ?? '';
    const type = types.find((known) => known === name);
    if (type === undefined) throw invalid(`stream ${stream.id}: its type is ${name}`);
    if (this.#streams.has(type)) throw invalid(`stream ${stream.id}: a second ${type}`);
    // one that was not asked for in the request may be there, and nothing comes of it
    if (!this.#wanted.has(type)) stream.resume().end();
    else this.#take(type, stream);
  }

  #take(type: Type, stream: SpdyStream): void {
    this.#streams.set(type, stream);
    if (type !== 'stdin' && type !== 'resize') stream.resume();
    // answered first, then used
    if (this.#streams.size === this.#wanted.size) setImmediate(() => this.#complete.resolve());
  }
}

const typesOf = ({ stdin, stdout, stderr, tty }: WantedStreams, protocol: SpdyCommandProtocol): ReadonlySet<Type> => {
  const resizes = tty && (protocol === 'v4.channel.k8s.io' || protocol === 'v3.channel.k8s.io');
  const wanted = { error: true, stdin, stdout, stderr, resize: resizes };
  return new Set(types.filter((type) => wanted[type]));
};

/** Our direction of it is closed, and all that was written is on its way. */
const ended = async (stream: SpdyStream): Promise<void> => {
  stream.end();
  await finished(stream, { readable: false }).catch(() => undefined);
};
