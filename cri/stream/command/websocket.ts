import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { WebSocket } from 'ws';
import type { WantedStreams } from '../../../shim/streams.ts';
import { Idle } from '../idle.ts';
import { type Channel, Channels } from '../websocket/channels.ts';
import type { CommandClient } from './run.ts';
import { type Status, statusText } from './status.ts';

interface Protocol {
  readonly base64: boolean;
  readonly closes: boolean;
  /** The status is an object. */
  readonly object: boolean;
}

const protocols = {
  '': { base64: false, closes: false, object: false },
  'channel.k8s.io': { base64: false, closes: false, object: false },
  'base64.channel.k8s.io': { base64: true, closes: false, object: false },
  'v4.channel.k8s.io': { base64: false, closes: false, object: true },
  'v4.base64.channel.k8s.io': { base64: true, closes: false, object: true },
  'v5.channel.k8s.io': { base64: false, closes: true, object: true },
} as const satisfies Readonly<Record<string, Protocol>>;
export type WebSocketCommandProtocol = keyof typeof protocols;

/** What may be asked for in `Sec-WebSocket-Protocol`; "" is what asks for nothing. */
export const webSocketCommandProtocols = Object.keys(protocols) as WebSocketCommandProtocol[];

const channel = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;

/** The client's side of an exec or attach over a WebSocket: all channels are there from the start. */
export class WebSocketCommandClient implements CommandClient {
  readonly stdin: Readable | undefined;
  readonly stdout: Writable | undefined;
  readonly stderr: Writable | undefined;
  readonly resize: Readable | undefined;
  readonly #channels: Channels;
  readonly #error: Channel | undefined;
  readonly #object: boolean;
  readonly #lost = new AbortController();

  constructor(socket: WebSocket, protocol: WebSocketCommandProtocol, wanted: WantedStreams, idleMs: number) {
    const { base64, closes, object } = protocols[protocol];
    const idle = new Idle(idleMs, () => this.#channels.destroy());
    const closed = (): void => {
      idle[Symbol.dispose]();
      this.#lost.abort();
    };
    this.#channels = new Channels(socket, { count: 5, base64, closes, active: () => idle.touch(), closed });
    this.#object = object;
    this.#error = this.#channels.get(channel.error);
    this.stdin = this.#use(wanted.stdin, channel.stdin);
    this.stdout = this.#use(wanted.stdout, channel.stdout);
    this.stderr = this.#use(wanted.stderr, channel.stderr);
    this.resize = this.#use(wanted.tty, channel.resize);
    for (const output of [channel.stdout, channel.stderr, channel.error]) this.#channels.get(output)?.resume();
    this.#greet();
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async finish(status: Status): Promise<void> {
    const text = statusText(status, this.#object);
    if (text !== '') this.#error?.write(text);
    await Promise.all([this.stdout, this.stderr, this.#error].map(ended));
    this.#channels.close();
  }

  /** A channel that was not asked for is read and dropped. */
  #use(wanted: boolean, number: number): Channel | undefined {
    const found = this.#channels.get(number);
    if (!wanted) found?.resume();
    return wanted ? found : undefined;
  }

  /** An empty message tells the client that it is connected. */
  #greet(): void {
    const first = this.stdout ?? this.stderr ?? this.#error;
    first?.write(Buffer.alloc(0));
  }
}

const ended = async (stream: Writable | undefined): Promise<void> => {
  if (stream === undefined) return;
  stream.end();
  await finished(stream, { readable: false }).catch(() => undefined);
};
