import { text } from 'node:stream/consumers';
import WebSocket from 'ws';
import { type ClientStream, type Dial, direct, SpdyClient } from './spdy-client.ts';

export interface Wanted {
  readonly stdin?: boolean;
  readonly stdout?: boolean;
  readonly stderr?: boolean;
  readonly tty?: boolean;
}

/** An exec or attach over SPDY. Streams that were not asked for are undefined. */
export interface SpdyCommand {
  readonly client: SpdyClient;
  readonly error: ClientStream;
  readonly stdin: ClientStream | undefined;
  readonly stdout: ClientStream | undefined;
  readonly stderr: ClientStream | undefined;
  readonly resize: ClientStream | undefined;
}

export const allProtocols = ['v4.channel.k8s.io', 'v3.channel.k8s.io', 'v2.channel.k8s.io', 'channel.k8s.io'] as const;

/** Opens the streams in Go's order, or in the one of `order`. */
export const spdyCommand = async (
  url: string,
  wanted: Wanted,
  options: { readonly protocols?: readonly string[]; readonly dial?: Dial; readonly order?: readonly string[] } = {},
): Promise<SpdyCommand> => {
  const client = await SpdyClient.open(url, options.protocols ?? allProtocols, options.dial ?? direct);
  const resize = wanted.tty === true && /^v[34]/.test(client.protocol);
  const names = { error: true, stdin: wanted.stdin, stdout: wanted.stdout, stderr: wanted.stderr, resize };
  const types = Object.entries(names)
    .filter(([, is]) => is)
    .map(([name]) => name);
  const streams = new Map<string, ClientStream>();
  for (const type of options.order ?? types) streams.set(type, await client.stream({ streamType: type }));
  const error = streams.get('error');
  if (error === undefined) throw new Error('no error stream');
  return {
    client,
    error,
    stdin: streams.get('stdin'),
    stdout: streams.get('stdout'),
    stderr: streams.get('stderr'),
    resize: streams.get('resize'),
  };
};

/** All that it says until it is over. */
export const outcome = async (
  command: SpdyCommand,
): Promise<{ readonly stdout: string; readonly stderr: string; readonly status: string }> => {
  const read = async (stream: ClientStream | undefined): Promise<string> =>
    stream === undefined ? '' : text(stream).catch((error: Error) => `${error.message}`);
  const [stdout, stderr, status] = await Promise.all([read(command.stdout), read(command.stderr), read(command.error)]);
  command.client.close();
  await command.client.closed;
  return { stdout, stderr, status };
};

/** A WebSocket with its messages by channel. */
export class WebSocketClient {
  readonly socket: WebSocket;
  readonly #received = new Map<number, Buffer[]>();
  readonly opened: Promise<void>;
  readonly closed: Promise<number>;

  constructor(url: string, protocols: readonly string[], dial: Dial = direct) {
    const target = new URL(url);
    target.protocol = target.protocol.replace('http', 'ws');
    this.socket = new WebSocket(target, [...protocols], {
      createConnection: () => dial(new URL(url)),
      perMessageDeflate: false,
    });
    this.opened = new Promise((resolve, reject) => this.socket.once('open', resolve).once('error', reject));
    this.opened.catch(() => undefined);
    this.closed = new Promise((resolve) => this.socket.once('close', resolve));
    this.socket.on('error', () => undefined);
    this.socket.on('message', (data: Buffer) => this.#add(data));
  }

  get #base64(): boolean {
    return this.socket.protocol.includes('base64');
  }

  #add(data: Buffer): void {
    const first = data.readUInt8(0);
    const number = this.#base64 ? first - 48 : first;
    const bytes = this.#base64 ? Buffer.from(data.subarray(1).toString(), 'base64') : data.subarray(1);
    this.#received.set(number, [...(this.#received.get(number) ?? []), bytes]);
  }

  text(channel: number): string {
    return Buffer.concat(this.#received.get(channel) ?? []).toString();
  }

  /** Messages of the channel, also empty ones. */
  count(channel: number): number {
    return this.#received.get(channel)?.length ?? 0;
  }

  send(channel: number, bytes: string | Buffer): void {
    const buffer = Buffer.from(bytes);
    if (this.#base64) this.socket.send(`${String.fromCharCode(48 + channel)}${buffer.toString('base64')}`);
    else this.socket.send(Buffer.concat([Buffer.of(channel), buffer]));
  }

  /** Protocol 5's word for the end of a channel. */
  end(channel: number): void {
    this.socket.send(Buffer.of(255, channel));
  }
}
