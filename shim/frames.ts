import { BerthError, invalid } from '../base/errors.ts';

/** A payload longer than this is refused on both sides. */
export const frameLimit = 4 << 20;
const headerBytes = 12;

export interface FrameIn {
  readonly type: number;
  readonly id: number;
  readonly payload: Buffer;
}

/** u32 payload length, u16 type, u16 zero, u32 id, payload; little-endian. */
export const encodeFrame = (type: number, id: number, payload: Uint8Array = new Uint8Array()): Buffer => {
  const frame = Buffer.allocUnsafe(headerBytes + payload.length);
  writeHead(frame, type, id, payload.length);
  frame.set(payload, headerBytes);
  return frame;
};

/** What stands before a payload of so many bytes. */
export const frameHead = (type: number, id: number, length: number): Buffer => {
  const head = Buffer.allocUnsafe(headerBytes);
  writeHead(head, type, id, length);
  return head;
};

const writeHead = (frame: Buffer, type: number, id: number, length: number): void => {
  if (length > frameLimit)
    throw new BerthError('resource-exhausted', `frame ${type}: ${length} bytes, limit ${frameLimit}`);
  frame.writeUInt32LE(length, 0);
  frame.writeUInt32LE(type, 4);
  frame.writeUInt32LE(id, 8);
};

/**
 * Cuts a byte stream into frames, wherever its pieces end. Frames of the `streamed` types are given out in parts, as their
 * bytes come and without a copy. A wrong header throws, and the stream is of no more use.
 */
export class FrameParser {
  readonly #streamed: ReadonlySet<number>;
  #parts: Buffer[] = [];
  #length = 0;
  /** Of the frame that is given out in parts: what has not come yet. */
  #left = 0;
  #open = { type: 0, id: 0 };

  constructor(streamed: Iterable<number> = []) {
    this.#streamed = new Set(streamed);
  }

  push(chunk: Buffer): FrameIn[] {
    const frames: FrameIn[] = [];
    const part = chunk.subarray(0, this.#left);
    if (part.length > 0) frames.push({ ...this.#open, payload: part });
    this.#left -= part.length;
    if (part.length === chunk.length) return frames;
    this.#parts.push(part.length === 0 ? chunk : chunk.subarray(part.length));
    this.#length += chunk.length - part.length;
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) frames.push(frame);
    return frames;
  }

  /** Bytes of a frame that is not whole yet. */
  get pending(): number {
    return this.#length;
  }

  #next(): FrameIn | undefined {
    if (this.#length < headerBytes) return undefined;
    if ((this.#parts[0]?.length ?? 0) < headerBytes) this.#join();
    const first = this.#parts[0] ?? Buffer.alloc(headerBytes);
    const length = first.readUInt32LE(0);
    const type = first.readUInt32LE(4);
    if (length > frameLimit || type > 0xffff)
      throw new BerthError('internal', `frame header is wrong: type ${type}, ${length} bytes`);
    const id = first.readUInt32LE(8);
    const whole = headerBytes + length;
    const taken = this.#streamed.has(type) ? Math.min(whole, this.#length) : whole;
    if (this.#length < taken) return undefined;
    this.#left = whole - taken;
    this.#open = { type, id };
    return { type, id, payload: this.#take(taken).subarray(headerBytes) };
  }

  #join(): Buffer {
    const whole =
      this.#parts.length === 1 && this.#parts[0] !== undefined ? this.#parts[0] : Buffer.concat(this.#parts);
    this.#parts = [whole];
    return whole;
  }

  #take(length: number): Buffer {
    const whole = this.#join();
    this.#parts = whole.length > length ? [whole.subarray(length)] : [];
    this.#length -= length;
    return whole.subarray(0, length);
  }
}

export type Field = number | bigint | string | Uint8Array;

const fieldBytes = (field: Field): Uint8Array => {
  if (typeof field === 'string') return Buffer.from(field, 'utf8');
  if (field instanceof Uint8Array) return field;
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64LE(BigInt(field));
  return bytes;
};

/** Fields of a payload: a number becomes eight bytes, a string or bytes themselves; each u32 length, bytes, one NUL. */
export const encodeFields = (fields: readonly Field[]): Buffer => {
  const all = fields.map(fieldBytes);
  const payload = Buffer.alloc(all.reduce((sum, { length }) => sum + length + 5, 0));
  let at = 0;
  for (const bytes of all) {
    payload.writeUInt32LE(bytes.length, at);
    payload.set(bytes, at + 4);
    at += bytes.length + 5;
  }
  return payload;
};

/** A text that C reads as a string: a zero byte in it would cut it. */
export const cString = (text: string, what: string): string => {
  if (text.includes('\0')) throw invalid(`${what}: has a zero byte`);
  return text;
};

/** Reads fields in order; what is cut off or of the wrong size throws. */
export class FieldReader {
  readonly #payload: Buffer;
  #at = 0;

  constructor(payload: Buffer) {
    this.#payload = payload;
  }

  bytes(): Buffer {
    const start = this.#at + 4;
    const length = start <= this.#payload.length ? this.#payload.readUInt32LE(this.#at) : Number.POSITIVE_INFINITY;
    if (start + length >= this.#payload.length || this.#payload[start + length] !== 0)
      throw new BerthError('internal', `frame payload of ${this.#payload.length} bytes: broken field at ${this.#at}`);
    this.#at = start + length + 1;
    return this.#payload.subarray(start, start + length);
  }

  bigint(): bigint {
    const bytes = this.bytes();
    if (bytes.length !== 8) throw new BerthError('internal', `frame payload: number of ${bytes.length} bytes`);
    return bytes.readBigUInt64LE();
  }

  number(): number {
    const value = this.bigint();
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw new BerthError('internal', `frame payload: number ${value} is too large`);
    return Number(value);
  }

  text(): string {
    return this.bytes().toString('utf8');
  }

  /** All of it must have been read. */
  end(): void {
    if (this.#at !== this.#payload.length)
      throw new BerthError('internal', `frame payload: ${this.#payload.length - this.#at} bytes too many`);
  }
}
