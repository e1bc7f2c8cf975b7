import { isUtf8 } from 'node:buffer';
import { invalid } from '../base/errors.ts';

/** Protobuf's wire types that proto3 has; groups (3, 4) are refused. */
export const wire = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/**
 * Reads protobuf's encoding (https://protobuf.dev/programming-guides/encoding/) and believes no length: everything that
 * does not fit throws `invalid-argument`. protobufjs' reader cuts a string at the end of the message instead.
 */
export class Reader {
  readonly #bytes: Buffer;
  #at: number;
  readonly #end: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#at = 0;
    this.#end = bytes.byteLength;
  }

  get done(): boolean {
    return this.#at >= this.#end;
  }

  /** The low 32 bits of a varint, unsigned; a negative int32 comes in ten bytes. */
  uint32(): number {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#byte();
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw invalid('a number has more than ten bytes');
  }

  uint64(): bigint {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#byte();
      if (shift < 49) low += (byte & 0x7f) * 2 ** shift;
      else high |= (byte & 0x7f) << (shift - 49);
      if (byte < 0x80) return high === 0 ? BigInt(low) : BigInt.asUintN(64, BigInt(low) + (BigInt(high) << 49n));
    }
    throw invalid('a number has more than ten bytes');
  }

  double(): number {
    return this.#bytes.readDoubleLE(this.#take(8));
  }

  /** A view of the message's own memory. */
  bytes(): Buffer {
    const length = this.uint32();
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  string(): string {
    const bytes = this.bytes();
    const text = bytes.toString('utf8');
    if (text.includes('\uFFFD') && !isUtf8(bytes)) throw invalid('not UTF-8');
    return text;
  }

  skip(type: number): void {
    if (type === wire.varint) this.uint64();
    else if (type === wire.fixed64) this.#take(8);
    else if (type === wire.bytes) this.bytes();
    else if (type === wire.fixed32) this.#take(4);
    else throw invalid(`wire type ${type}`);
  }

  #byte(): number {
    return this.#bytes[this.#take(1)] ?? 0;
  }

  #take(length: number): number {
    const start = this.#at;
    if (length > this.#end - start) throw invalid('ends in the middle of a field');
    this.#at = start + length;
    return start;
  }
}

/** Writes protobuf's encoding into a buffer that grows. */
export class Writer {
  #bytes: Buffer;
  #at = 0;

  constructor(expected = 512) {
    this.#bytes = Buffer.allocUnsafe(expected);
  }

  finish(): Buffer {
    return Buffer.from(this.written());
  }

  /** A view of what was written, for one who does not keep it; nothing can be written then. */
  written(): Buffer {
    return this.#bytes.subarray(0, this.#at);
  }

  uint32(value: number): void {
    let rest = value;
    this.#room(5);
    while (rest > 0x7f) {
      this.#bytes[this.#at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#bytes[this.#at++] = rest;
  }

  uint64(value: bigint): void {
    const whole = BigInt.asUintN(64, value);
    if (whole <= 0xffff_ffffn) this.uint32(Number(whole));
    else {
      // Arithmetic of bigints is slow: once, and the rest in numbers of 28 and 36 bits.
      this.#lowest(Number(whole & 0xfff_ffffn));
      this.#above(Number(whole >> 28n));
    }
  }

  /** The first four bytes of a varint that has more. */
  #lowest(value: number): void {
    this.#room(4);
    for (let shift = 0; shift < 28; shift += 7) this.#bytes[this.#at++] = ((value >>> shift) & 0x7f) | 0x80;
  }

  /** The rest of a varint: up to 36 bits. */
  #above(value: number): void {
    let rest = value;
    for (; rest > 0xffff_ffff; rest = Math.floor(rest / 128)) {
      this.#room(1);
      this.#bytes[this.#at++] = (rest & 0x7f) | 0x80;
    }
    this.uint32(rest);
  }

  double(value: number): void {
    this.#room(8);
    this.#at = this.#bytes.writeDoubleLE(value, this.#at);
  }

  bytes(value: Uint8Array): void {
    this.uint32(value.length);
    this.raw(value);
  }

  /** Bytes as they are. */
  raw(value: Uint8Array): void {
    this.#room(value.length);
    this.#bytes.set(value, this.#at);
    this.#at += value.length;
  }

  string(value: string): void {
    const length = Buffer.byteLength(value);
    this.uint32(length);
    this.#room(length);
    this.#at += this.#bytes.write(value, this.#at, length, 'utf8');
  }

  /** Writes what `action` writes with its length in front: one byte is left for it and moved apart if it needs more. */
  nested(action: () => void): void {
    this.#room(1);
    const start = this.#at + 1;
    this.#at = start;
    action();
    const end = this.#at;
    const length = end - start;
    const extra = varintSize(length) - 1;
    if (extra > 0) {
      this.#room(extra);
      this.#bytes.copyWithin(start + extra, start, end);
    }
    this.#at = start - 1;
    this.uint32(length);
    this.#at = end + extra;
  }

  #room(length: number): void {
    if (this.#at + length <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#at + length));
    this.#bytes.copy(larger, 0, 0, this.#at);
    this.#bytes = larger;
  }
}

const varintSize = (value: number): number => {
  let size = 1;
  for (let rest = value >>> 7; rest > 0; rest >>>= 7) size += 1;
  return size;
};
