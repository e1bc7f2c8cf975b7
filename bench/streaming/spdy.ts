import { Cutter, channel, type OnData, upgrade, type Wire } from './wire.ts';

const SYN_REPLY = 2;
/** Adler-32 of SPDY/3's dictionary: named by the first header block, and not needed to store one. */
const dictionaryId = 0xe3c6a7c2;

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

const stored = (bytes: Buffer): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt16LE(bytes.length, 1);
  head.writeUInt16LE(~bytes.length & 0xffff, 3);
  return Buffer.concat([head, bytes]);
};

const block = (headers: Readonly<Record<string, string>>, first: boolean): Buffer => {
  const fields = Object.entries(headers).flatMap((pair) => pair.map((text) => Buffer.from(text, 'latin1')));
  const plain = Buffer.concat([u32(fields.length / 2), ...fields.flatMap((field) => [u32(field.length), field])]);
  const prefix = first ? [Buffer.of(0x78, 0xbb), u32(dictionaryId)] : [];
  return Buffer.concat([...prefix, stored(plain), stored(Buffer.alloc(0))]);
};

/** A SPDY/3.1 connection; streams are opened one after the other, each when the last was answered, as Go does it. */
export class Spdy implements Wire {
  readonly socket;
  readonly #onData: OnData;
  readonly #streams = new Map<number, number>();
  readonly #channels = new Map<number, number>();
  #replied = Promise.withResolvers<void>();
  #next = 1;
  #now = { stream: 0, type: 0 };

  private constructor(socket: Wire['socket'], onData: OnData) {
    this.socket = socket;
    this.#onData = onData;
  }

  static async open(url: string, protocol: string, onData: OnData): Promise<Spdy> {
    const { socket, rest } = await upgrade(new URL(url), 'POST', {
      Connection: 'Upgrade',
      Upgrade: 'SPDY/3.1',
      'Content-Length': '0',
      'X-Stream-Protocol-Version': protocol,
    });
    const spdy = new Spdy(socket, onData);
    const cutter = new Cutter(
      () => 8,
      (head) => spdy.#open(head),
      (bytes) => spdy.#take(bytes),
    );
    cutter.push(rest);
    socket.on('data', (bytes) => cutter.push(bytes));
    socket.resume();
    return spdy;
  }

  /** The stream's bytes and those for it go by `number`. */
  async stream(number: number, headers: Readonly<Record<string, string>>): Promise<void> {
    const id = this.#next;
    this.#next += 2;
    this.#streams.set(number, id);
    this.#channels.set(id, number);
    this.#replied = Promise.withResolvers<void>();
    const payload = Buffer.concat([u32(id), u32(0), Buffer.alloc(2), block(headers, id === 1)]);
    this.socket.write(Buffer.concat([Buffer.of(0x80, 3, 0, 1), u32(payload.length), payload]));
    await this.#replied.promise;
  }

  send(number: number, bytes: Buffer): boolean {
    this.socket.cork();
    this.socket.write(this.#head(number, bytes.length));
    const room = this.socket.write(bytes);
    this.socket.uncork();
    return room;
  }

  #head(number: number, flagsAndLength: number): Buffer {
    const head = Buffer.allocUnsafe(8);
    head.writeUInt32BE(this.#streams.get(number) ?? 0, 0);
    head.writeUInt32BE(flagsAndLength, 4);
    return head;
  }

  #open(head: Buffer): number {
    const isControl = head.readUInt8(0) >= 0x80;
    this.#now = isControl ? { stream: 0, type: head.readUInt16BE(2) } : { stream: head.readUInt32BE(0), type: 0 };
    return head.readUIntBE(5, 3);
  }

  #take(bytes: Buffer): void {
    const number = this.#channels.get(this.#now.stream);
    if (number !== undefined) this.#onData(number, bytes);
    else if (this.#now.type === SYN_REPLY) this.#replied.resolve();
  }
}

/** An exec's session with all that it needs. */
export const spdyExec = async (url: string, stdin: boolean, onData: OnData): Promise<Wire> => {
  const spdy = await Spdy.open(url, 'v4.channel.k8s.io', onData);
  await spdy.stream(channel.error, { streamtype: 'error' });
  if (stdin) await spdy.stream(channel.stdin, { streamtype: 'stdin' });
  await spdy.stream(channel.stdout, { streamtype: 'stdout' });
  return spdy;
};

/** One connection of a port-forward: stdin is what goes to the pod, stdout what comes from it. */
export const spdyForward = async (url: string, port: number, onData: OnData): Promise<Wire> => {
  // the one stream for both ways has one number
  const spdy = await Spdy.open(url, 'portforward.k8s.io', (number, bytes) =>
    onData(number === channel.stdin ? channel.stdout : number, bytes),
  );
  const headers = { port: `${port}`, requestid: '0' };
  await spdy.stream(channel.error, { ...headers, streamtype: 'error' });
  await spdy.stream(channel.stdin, { ...headers, streamtype: 'data' });
  return spdy;
};
