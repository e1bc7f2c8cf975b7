import type { Duplex } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { WebSocket } from 'ws';
import { messageOf } from '../../../base/errors.ts';
import type { Log } from '../../log.ts';
import { Idle } from '../idle.ts';
import type { ForwardSession, SessionLimits } from '../session.ts';
import { type Channel, Channels } from '../websocket/channels.ts';
import { untilLost } from './lost.ts';

/** What may be asked for in `Sec-WebSocket-Protocol`; "" is what asks for nothing. */
export const webSocketForwardProtocols = ['', 'v4.channel.k8s.io', 'v4.base64.channel.k8s.io'] as const;

/** Port-forwards of one client over a WebSocket: of each port of the request one connection, channels 2n and 2n + 1. */
export class WebSocketForward {
  readonly #session: ForwardSession;
  readonly #log: Log;
  readonly #channels: Channels;
  readonly #lost = new AbortController();

  constructor(socket: WebSocket, base64: boolean, session: ForwardSession, { idleMs }: SessionLimits, log: Log) {
    this.#session = session;
    this.#log = log;
    const idle = new Idle(idleMs, () => this.#channels.destroy());
    const closed = (): void => {
      idle[Symbol.dispose]();
      this.#lost.abort();
    };
    const count = session.ports.length * 2;
    this.#channels = new Channels(socket, { count, base64, closes: false, active: () => idle.touch(), closed });
    void this.#run();
  }

  destroy(): void {
    this.#channels.destroy();
  }

  async #run(): Promise<void> {
    await Promise.all(this.#session.ports.map((port, index) => this.#forward(port, index * 2)));
    this.#channels.close();
  }

  async #forward(port: number, first: number): Promise<void> {
    const [data, error] = [this.#channels.get(first), this.#channels.get(first + 1)];
    if (data === undefined || error === undefined) return;
    error.resume();
    // each channel starts with its port
    for (const channel of [data, error]) channel.write(Buffer.of(port & 0xff, port >> 8));
    await this.#connect(port, data).catch((cause: unknown) => {
      this.#log.debug({ port, cause: messageOf(cause) }, 'a port-forward ended with an error');
      error.write(`error forwarding port ${port}: ${messageOf(cause)}`);
    });
    await Promise.all([data, error].map(flushed));
  }

  /** Until the pod closes its end: the client has no word for closing its own. */
  async #connect(port: number, data: Channel): Promise<void> {
    const inside = await this.#session.connect(port, this.#lost.signal);
    await untilLost(this.#lost.signal, inside, () => carry(data, inside));
    inside.destroy();
  }
}

const carry = async (data: Channel, inside: Duplex): Promise<void> => {
  inside.on('error', () => undefined).once('close', () => data.resume());
  data.pipe(inside);
  inside.pipe(data);
  await finished(inside, { writable: false }).catch(() => undefined);
};

const flushed = async (channel: Channel): Promise<void> => {
  channel.end();
  await finished(channel, { readable: false }).catch(() => undefined);
};
