import { BerthError } from '../../../base/errors.ts';

/** A value with its type in front, as properties have it. */
export interface Variant {
  readonly signature: string;
  readonly value: Value;
}

/** 64-bit numbers are bigint; `ay` may be bytes. */
export type Value = string | number | bigint | boolean | Uint8Array | readonly Value[] | Variant;

// D-Bus Specification, "Marshaling": what each type is aligned to. Those that systemd's manager needs of us.
const alignments: Readonly<Record<string, number>> = {
  y: 1,
  b: 4,
  i: 4,
  u: 4,
  t: 8,
  s: 4,
  o: 4,
  g: 1,
  a: 4,
  '(': 8,
  '{': 8,
  v: 1,
};

const fault = (what: string): BerthError => new BerthError('internal', `D-Bus: ${what}`);

const alignmentOf = (type: string): number => {
  const alignment = alignments[type[0] ?? ''];
  if (alignment === undefined) throw fault(`type ${JSON.stringify(type)} is not one that is used here`);
  return alignment;
};

const padded = (at: number, alignment: number): number => Math.ceil(at / alignment) * alignment;

/** Where the first complete type of a signature ends. */
const endOfType = (signature: string, at: number): number => {
  const first = signature[at];
  if (first === 'a') return endOfType(signature, at + 1);
  if (first !== '(' && first !== '{') return at + 1;
  let end = at + 1;
  while (signature[end] !== ')' && signature[end] !== '}') {
    if (end >= signature.length) throw fault(`signature ${signature} has no end`);
    end = endOfType(signature, end);
  }
  // An array of them would never end: they take no room.
  if (end === at + 1) throw fault(`signature ${signature} has a structure of nothing`);
  return end + 1;
};

/** "sa(sv)u" is "s", "a(sv)" and "u". */
export const typesOf = (signature: string): readonly string[] => {
  const types: string[] = [];
  for (let at = 0; at < signature.length; ) {
    const end = endOfType(signature, at);
    types.push(signature.slice(at, end));
    at = end;
  }
  return types;
};

class Writer {
  #buffer = Buffer.alloc(512);
  length = 0;

  /** Room for so many bytes, aligned; zero. */
  room(bytes: number, alignment = bytes): { readonly buffer: Buffer; readonly at: number } {
    const at = padded(this.length, alignment);
    this.length = at + bytes;
    if (this.length > this.#buffer.length)
      this.#buffer = Buffer.concat([this.#buffer, Buffer.alloc(this.length + this.#buffer.length)]);
    return { buffer: this.#buffer, at };
  }

  byte(value: number): void {
    const { buffer, at } = this.room(1);
    buffer.writeUInt8(value, at);
  }

  u32(value: number): void {
    const { buffer, at } = this.room(4);
    buffer.writeUInt32LE(value, at);
  }

  u64(value: bigint): void {
    const { buffer, at } = this.room(8);
    buffer.writeBigUInt64LE(value, at);
  }

  /** With the zero that the length before it does not count. */
  bytes(value: Uint8Array, end: 0 | 1): void {
    const { buffer, at } = this.room(value.length + end, 1);
    buffer.set(value, at);
  }

  result(): Buffer {
    return this.#buffer.subarray(0, this.length);
  }
}

const isVariant = (value: Value): value is Variant =>
  typeof value === 'object' && 'signature' in value && 'value' in value;

const isList = (value: Value): value is readonly Value[] => Array.isArray(value);

const wrong = (type: string, value: Value): BerthError => fault(`a ${typeof value} is no ${type}`);

const text = (type: string, value: Value): Buffer => {
  if (typeof value !== 'string' || value.includes('\0')) throw wrong(type, value);
  return Buffer.from(value, 'utf8');
};

const writeArray = (to: Writer, type: string, value: Value): void => {
  const element = type.slice(1);
  to.u32(0);
  const lengthAt = to.length - 4;
  to.room(0, alignmentOf(element));
  const start = to.length;
  if (value instanceof Uint8Array && element === 'y') to.bytes(value, 0);
  else if (isList(value)) for (const one of value) write(to, element, one);
  else throw wrong(type, value);
  to.room(0, 1).buffer.writeUInt32LE(to.length - start, lengthAt);
};

const writeVariant = (to: Writer, value: Value): void => {
  if (!isVariant(value)) throw wrong('v', value);
  write(to, 'g', value.signature);
  write(to, value.signature, value.value);
};

const writeStruct = (to: Writer, type: string, value: Value): void => {
  const types = typesOf(type.slice(1, -1));
  to.room(0, 8);
  if (!isList(value) || value.length !== types.length) throw wrong(type, value);
  for (const [index, one] of value.entries()) write(to, types[index] ?? '', one);
};

const write = (to: Writer, type: string, value: Value): void => {
  const kind = type[0] ?? '';
  if (kind === 'y' && typeof value === 'number') to.byte(value);
  else if (kind === 'b' && typeof value === 'boolean') to.u32(value ? 1 : 0);
  else if (kind === 'u' && typeof value === 'number') to.u32(value);
  else if (kind === 'i' && typeof value === 'number') to.u32(value >>> 0);
  else if (kind === 't' && typeof value === 'bigint') to.u64(value);
  else if (kind === 'a') writeArray(to, type, value);
  else if (kind === '(' || kind === '{') writeStruct(to, type, value);
  else if (kind === 'v') writeVariant(to, value);
  else {
    const bytes = text(type, value);
    if (kind === 'g') to.byte(bytes.length);
    else if (kind === 's' || kind === 'o') to.u32(bytes.length);
    else throw wrong(type, value);
    to.bytes(bytes, 1);
  }
};

/** Errors: `internal` for a value that is not of its type. Little-endian. */
export const marshal = (signature: string, values: readonly Value[]): Buffer => {
  const writer = new Writer();
  const types = typesOf(signature);
  if (types.length !== values.length) throw fault(`${values.length} values for ${signature}`);
  for (const [index, value] of values.entries()) write(writer, types[index] ?? '', value);
  return writer.result();
};

const deepest = 16;

/** Reads values from the other side, which may be wrong in every way. Errors: `internal`. */
export class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get at(): number {
    return this.#at;
  }

  #take(length: number, alignment: number): number {
    const at = padded(this.#at, alignment);
    if (at + length > this.#bytes.length) throw fault('a message ends in the middle of a value');
    this.#at = at + length;
    return at;
  }

  #text(length: number): string {
    const at = this.#take(length + 1, 1);
    return this.#bytes.toString('utf8', at, at + length);
  }

  #array(element: string, depth: number): Value {
    const length = this.#bytes.readUInt32LE(this.#take(4, 4));
    this.#take(0, alignmentOf(element));
    const end = this.#at + length;
    if (end > this.#bytes.length) throw fault('an array is longer than its message');
    const values: Value[] = [];
    while (this.#at < end) values.push(this.read(element, depth + 1));
    return values;
  }

  #struct(type: string, depth: number): Value {
    this.#take(0, 8);
    return typesOf(type.slice(1, -1)).map((one) => this.read(one, depth + 1));
  }

  #variant(depth: number): Variant {
    const signature = this.#text(this.#bytes.readUInt8(this.#take(1, 1)));
    if (typesOf(signature).length !== 1) throw fault('a variant is not of one type');
    return { signature, value: this.read(signature, depth + 1) };
  }

  read(type: string, depth = 0): Value {
    if (depth > deepest) throw fault('a message is nested too deeply');
    switch (type[0]) {
      case 'y':
        return this.#bytes.readUInt8(this.#take(1, 1));
      case 'b':
        return this.#bytes.readUInt32LE(this.#take(4, 4)) !== 0;
      case 'u':
        return this.#bytes.readUInt32LE(this.#take(4, 4));
      case 't':
        return this.#bytes.readBigUInt64LE(this.#take(8, 8));
      case 's':
      case 'o':
        return this.#text(this.#bytes.readUInt32LE(this.#take(4, 4)));
      case 'g':
        return this.#text(this.#bytes.readUInt8(this.#take(1, 1)));
      case 'a':
        return this.#array(type.slice(1), depth);
      case '(':
      case '{':
        return this.#struct(type, depth);
      case 'v':
        return this.#variant(depth);
      default:
        throw fault(`type ${JSON.stringify(type)} is not one that is used here`);
    }
  }
}

export const unmarshal = (signature: string, bytes: Buffer): readonly Value[] => {
  const reader = new Reader(bytes);
  return typesOf(signature).map((type) => reader.read(type));
};
