import { invalid } from '../../../base/errors.ts';

export const spdyVersion = 3;

export const FrameType = {
  SYN_STREAM: 1,
  SYN_REPLY: 2,
  RST_STREAM: 3,
  SETTINGS: 4,
  PING: 6,
  GOAWAY: 7,
  HEADERS: 8,
  WINDOW_UPDATE: 9,
} as const;

/** Of control frames and of data frames. */
export const Flag = { FIN: 1, UNIDIRECTIONAL: 2 } as const;

export const ResetStatus = { PROTOCOL_ERROR: 1, REFUSED_STREAM: 3, UNSUPPORTED_VERSION: 4, CANCEL: 5 } as const;
export const GoAwayStatus = { OK: 0, PROTOCOL_ERROR: 1 } as const;

export interface ControlFrame {
  readonly version: number;
  readonly type: number;
  readonly flags: number;
  readonly payload: Buffer;
}

const headBytes = 8;
/** Of a control frame. Go's largest, a SYN_STREAM, has some fifty bytes. */
const controlLimit = 16 << 10;

/** A control frame; its payload is `words`, each of four bytes, then `rest`. */
export const controlFrame = (
  type: number,
  words: readonly number[],
  rest: Uint8Array = new Uint8Array(),
  flags = 0,
): Buffer => {
  const frame = Buffer.alloc(headBytes + words.length * 4 + rest.length);
  frame.writeUInt16BE(0x8000 | spdyVersion, 0);
  frame.writeUInt16BE(type, 2);
  frame.writeUInt32BE(frame.length - headBytes, 4);
  frame.writeUInt8(flags, 4);
  for (const [index, word] of words.entries()) frame.writeUInt32BE(word, headBytes + index * 4);
  frame.set(rest, headBytes + words.length * 4);
  return frame;
};

/** The first eight bytes of a data frame; `length` is below 2^24. */
export const dataHead = (stream: number, length: number, flags: number): Buffer => {
  const head = Buffer.allocUnsafe(headBytes);
  head.writeUInt32BE(stream, 0);
  head.writeUInt32BE(length, 4);
  head.writeUInt8(flags, 4);
  return head;
};

export interface FrameListener {
  control(frame: ControlFrame): void;
  /** A part of a data frame, as it came; `fin`: the last of its stream. */
  data(stream: number, bytes: Buffer, fin: boolean): void;
}

/** Cuts a byte stream into frames, wherever its pieces end. Data is passed on at once, however long its frame. */
export class FrameParser {
  readonly #listener: FrameListener;
  readonly #head = Buffer.alloc(headBytes);
  #headBytes = 0;
  /** Bytes of the payload that have not come yet. */
  #left = 0;
  #control: Buffer[] = [];

  constructor(listener: FrameListener) {
    this.#listener = listener;
  }

  /** Errors: `invalid-argument`; the stream is then of no more use. */
  push(chunk: Buffer): void {
    for (let rest = chunk; rest.length > 0; )
      rest = this.#headBytes < headBytes ? this.#takeHead(rest) : this.#takePayload(rest);
  }

  #takeHead(bytes: Buffer): Buffer {
    const taken = bytes.copy(this.#head, this.#headBytes);
    this.#headBytes += taken;
    if (this.#headBytes === headBytes) {
      this.#left = this.#head.readUIntBE(5, 3);
      if (this.#isControl && this.#left > controlLimit)
        throw invalid(`SPDY: a control frame of ${this.#left} bytes, the limit is ${controlLimit}`);
      if (this.#left === 0) this.#takePayload(bytes.subarray(taken, taken));
    }
    return bytes.subarray(taken);
  }

  #takePayload(bytes: Buffer): Buffer {
    const part = bytes.subarray(0, this.#left);
    this.#left -= part.length;
    if (this.#left === 0) this.#headBytes = 0;
    if (this.#isControl) this.#takeControl(part);
    else this.#takeData(part);
    return bytes.subarray(part.length);
  }

  get #isControl(): boolean {
    return this.#head.readUInt8(0) >= 0x80;
  }

  #takeControl(part: Buffer): void {
    this.#control.push(part);
    if (this.#left > 0) return;
    const payload = Buffer.concat(this.#control);
    this.#control = [];
    const version = this.#head.readUInt16BE(0) & 0x7fff;
    this.#listener.control({ version, type: this.#head.readUInt16BE(2), flags: this.#head.readUInt8(4), payload });
  }

  #takeData(part: Buffer): void {
    const stream = this.#head.readUInt32BE(0);
    if (stream === 0) throw invalid('SPDY: data for stream 0');
    this.#listener.data(stream, part, this.#left === 0 && (this.#head.readUInt8(4) & Flag.FIN) !== 0);
  }
}
