import { BerthError } from '../../../base/errors.ts';
import { marshal, Reader, unmarshal, type Value } from './marshal.ts';

/** D-Bus Specification, "Message Format": types and header fields. */
export const MessageType = { call: 1, reply: 2, error: 3, signal: 4 } as const;
const Field = { path: 1, interface: 2, member: 3, error: 4, replySerial: 5, signature: 8 } as const;

/** The whole of one; systemd's own are a few kilobytes. */
const longest = 1 << 20;
const fixed = 16;

export interface Call {
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature: string;
  readonly body: readonly Value[];
}

const padding = (length: number): Buffer => Buffer.alloc((8 - (length % 8)) % 8);

export const encodeCall = (serial: number, call: Call): Buffer => {
  const body = marshal(call.signature, call.body);
  const fields: Value[] = [
    [Field.path, { signature: 'o', value: call.path }],
    [Field.interface, { signature: 's', value: call.interface }],
    [Field.member, { signature: 's', value: call.member }],
    ...(call.signature === '' ? [] : [[Field.signature, { signature: 'g', value: call.signature }]]),
  ];
  const start = [0x6c, MessageType.call, 0, 1, body.length, serial]; // 0x6c: little-endian
  const head = marshal('yyyyuua(yv)', [...start, fields]);
  return Buffer.concat([head, padding(head.length), body]);
};

/** One that came. What is not asked for is not decoded: on a busy node most of them are of no interest. */
export class Message {
  readonly type: number;
  readonly #fields = new Map<number, Value>();
  readonly #body: Buffer;

  constructor(bytes: Buffer, bodyAt: number) {
    this.type = bytes.readUInt8(1);
    this.#body = bytes.subarray(bodyAt);
    const head = new Reader(bytes.subarray(0, bodyAt));
    for (let skipped = 0; skipped < fixed - 4; skipped += 1) head.read('y');
    const fields = head.read('a(yv)');
    if (!Array.isArray(fields)) return;
    for (const field of fields) this.#fields.set(Number(field[0]), field[1].value);
  }

  #field(field: number): Value | undefined {
    return this.#fields.get(field);
  }

  get member(): string {
    return String(this.#field(Field.member) ?? '');
  }

  get error(): string {
    return String(this.#field(Field.error) ?? '');
  }

  get replyTo(): number {
    return Number(this.#field(Field.replySerial) ?? 0);
  }

  /** Errors: `internal` when it is not what the signature in its head says. */
  body(): readonly Value[] {
    return unmarshal(String(this.#field(Field.signature) ?? ''), this.#body);
  }
}

/** Cuts what comes into messages. Errors: `internal` for what is none, or is too long: the connection is of no more use. */
export class MessageParser {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): readonly Message[] {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const messages: Message[] = [];
    for (;;) {
      const size = this.#size();
      if (size === undefined || this.#rest.length < size.whole) return messages;
      messages.push(new Message(this.#rest.subarray(0, size.whole), size.head));
      this.#rest = this.#rest.subarray(size.whole);
    }
  }

  #size(): { readonly head: number; readonly whole: number } | undefined {
    if (this.#rest.length < fixed) return undefined;
    if (this.#rest.readUInt8(0) !== 0x6c || this.#rest.readUInt8(3) !== 1)
      throw new BerthError('internal', 'D-Bus: what came is no little-endian message of version 1');
    const head = Math.ceil((fixed + this.#rest.readUInt32LE(12)) / 8) * 8;
    const whole = head + this.#rest.readUInt32LE(4);
    if (whole > longest) throw new BerthError('internal', `D-Bus: a message of ${whole} bytes, at most ${longest}`);
    return { head, whole };
  }
}
