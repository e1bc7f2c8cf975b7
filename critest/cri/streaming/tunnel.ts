import { Duplex } from 'node:stream';
import { type Dial, direct, SpdyClient, upgrade } from './spdy-client.ts';

const binary = 0x82;
const close = 0x88;

/** A WebSocket's binary messages as a byte stream, with framing of its own: ws refuses to ask for such a protocol. */
class MessageStream extends Duplex {
  readonly #socket: Duplex;
  #buffer = Buffer.alloc(0);

  constructor(socket: Duplex) {
    super();
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => this.destroy());
    socket.resume();
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(frame(binary, bytes), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.write(frame(close, Buffer.of(3, 232)), done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #receive(chunk: Buffer): void {
    this.#buffer = Buffer.concat([this.#buffer, chunk]);
    while (this.#take());
  }

  #take(): boolean {
    const buffer = this.#buffer;
    if (buffer.length < 2) return false;
    const short = buffer.readUInt8(1);
    const head = short === 126 ? 4 : short === 127 ? 10 : 2;
    if (buffer.length < head) return false;
    const length = short === 126 ? buffer.readUInt16BE(2) : short === 127 ? Number(buffer.readBigUInt64BE(2)) : short;
    if (buffer.length < head + length) return false;
    this.#buffer = buffer.subarray(head + length);
    if (buffer.readUInt8(0) === binary) this.push(buffer.subarray(head, head + length));
    else if (buffer.readUInt8(0) === close) this.push(null);
    return true;
  }
}

/** A client's frame: masked, with the mask zero. */
const frame = (first: number, bytes: Buffer): Buffer => {
  const head = Buffer.alloc(14);
  head.writeUInt8(first, 0);
  head.writeUInt8(0x80 | 127, 1);
  head.writeBigUInt64BE(BigInt(bytes.length), 2);
  return Buffer.concat([head, bytes]);
};

/** SPDY in a WebSocket, as kubectl and crictl do it for port-forward. */
export const tunnel = async (url: string, dial: Dial = direct): Promise<SpdyClient> => {
  const protocol = 'SPDY/3.1+portforward.k8s.io';
  const headers = {
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': Buffer.alloc(16).toString('base64'),
    'Sec-WebSocket-Protocol': protocol,
  };
  const { socket, head } = await upgrade(new URL(url), headers, dial, 'GET');
  if (!head.includes(`Sec-WebSocket-Protocol: ${protocol}`)) throw new Error(head);
  return new SpdyClient(new MessageStream(socket), protocol);
};
