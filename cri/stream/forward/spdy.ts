import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import { invalid, messageOf } from '../../../base/errors.ts';
import type { Log } from '../../log.ts';
import { Idle } from '../idle.ts';
import type { ForwardSession, SessionLimits } from '../session.ts';
import { SpdyConnection } from '../spdy/connection.ts';
import type { SpdyStream } from '../spdy/stream.ts';
import { join } from './join.ts';
import { untilLost } from './lost.ts';

export const spdyForwardProtocols = ['portforward.k8s.io'] as const;

interface Pair {
  readonly port: number;
  readonly timer: NodeJS.Timeout;
  data?: SpdyStream;
  error?: SpdyStream;
}

/** Port-forwards of one client over SPDY: a stream for data and one for an error for each connection, in any order. */
export class SpdyForward {
  readonly #session: ForwardSession;
  readonly #limits: SessionLimits;
  readonly #log: Log;
  readonly #connection: SpdyConnection;
  readonly #lost = new AbortController();
  /** Those that wait for their second stream, by the client's name for the connection. */
  readonly #pairs = new Map<string, Pair>();

  constructor(socket: Duplex, session: ForwardSession, limits: SessionLimits, log: Log) {
    this.#session = session;
    this.#limits = limits;
    this.#log = log;
    const idle = new Idle(limits.idleMs, () => this.#connection.destroy('no data for too long'));
    this.#connection = new SpdyConnection(socket, {
      stream: (stream) => this.#add(stream),
      active: () => idle.touch(),
      closed: () => {
        idle[Symbol.dispose]();
        for (const { timer } of this.#pairs.values()) clearTimeout(timer);
        this.#lost.abort();
      },
    });
  }

  /** Aborts when the client is gone. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  destroy(cause: string): void {
    this.#connection.destroy(cause);
  }

  #add(stream: SpdyStream): void {
    const type = stream.headers.get('streamtype');
    if (type !== 'data' && type !== 'error') throw invalid(`stream ${stream.id}: its type is ${type}`);
    const port = portOf(stream);
    const id = requestOf(stream, type);
    const pair = this.#pairs.get(id) ?? this.#expect(id, port);
    if (pair[type] !== undefined) throw invalid(`stream ${stream.id}: a second ${type} of request ${id}`);
    if (pair.port !== port) throw invalid(`stream ${stream.id}: request ${id} is for port ${pair.port}`);
    pair[type] = stream;
    if (type === 'error') stream.resume();
    const { data, error } = pair;
    if (data === undefined || error === undefined) return;
    clearTimeout(pair.timer);
    this.#pairs.delete(id);
    // answered first, then used
    setImmediate(() => void this.#forward(port, data, error));
  }

  #expect(id: string, port: number): Pair {
    const late = (): void => {
      this.#pairs.delete(id);
      pair.error?.end(`request ${id}: the client did not open its data stream in time`);
      pair.data?.destroy();
    };
    const pair: Pair = { port, timer: setTimeout(late, this.#limits.creationMs) };
    this.#pairs.set(id, pair);
    return pair;
  }

  async #forward(port: number, data: SpdyStream, error: SpdyStream): Promise<void> {
    try {
      const inside = await this.#session.connect(port, this.lost);
      await untilLost(this.lost, inside, () => join(data, inside));
      error.end();
    } catch (cause) {
      this.#log.debug({ port, cause: messageOf(cause) }, 'a port-forward ended with an error');
      error.end(`error forwarding port ${port}: ${messageOf(cause)}`);
      await finished(error, { readable: false }).catch(() => undefined);
      data.destroy();
    }
  }
}

const portOf = (stream: SpdyStream): number => {
  const text = stream.headers.get('port') ?? '';
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw invalid(`stream ${stream.id}: its port is ${JSON.stringify(text)}`);
  return port;
};

/** Old clients give none: they open the error stream and then, with the next number, the data stream. */
const requestOf = (stream: SpdyStream, type: 'data' | 'error'): string => {
  const id = stream.headers.get('requestid') ?? '';
  return id === '' ? `stream ${type === 'error' ? stream.id : stream.id - 2}` : id;
};
