import { invalid, messageOf } from '../base/errors.ts';
import { defaultOf, enumType, type Field, type MessageType, messageType } from './schema.ts';
import { Reader, wire } from './wire.ts';

type Values = Record<string, unknown>;

/** What protoc's own decoders allow. */
const deepest = 100;

/** Every field is there. Throws `invalid-argument` that names the field; see `decode` in codec.ts for the rules. */
export const decodeMessage = (type: MessageType, bytes: Uint8Array): Values => decodeInto(fresh(type), type, bytes, 0);

/** A message with nothing set. */
export const fresh = (type: MessageType): Values => {
  const values: Values = {};
  for (const field of type.fields) values[field.name] = defaultOf(field);
  return values;
};

const decodeInto = (values: Values, type: MessageType, bytes: Uint8Array, depth: number): Values => {
  if (depth > deepest) throw invalid(`more than ${deepest} levels`);
  const reader = new Reader(bytes);
  while (!reader.done) {
    const tag = reader.uint32();
    const field = type.byId.get(tag >>> 3);
    if (tag >>> 3 === 0) throw invalid(`${type.name}: field number 0`);
    if (field === undefined) reader.skip(tag & 7);
    else readField(values, field, reader, tag & 7, depth);
  }
  return values;
};

const readField = (values: Values, field: Field, reader: Reader, wireType: number, depth: number): void => {
  try {
    if (field.list === 'map') readEntry(values[field.name] as Values, field, reader, wireType);
    else if (field.list === 'list') readItems(values[field.name] as unknown[], field, reader, wireType, depth);
    else values[field.name] = readValue(field, reader, wireType, depth, values[field.name]);
  } catch (error) {
    throw located(field, error);
  }
};

/** The innermost field names itself; the outer ones would only make the text longer. */
const located = (field: Field, error: unknown): Error => {
  const message = messageOf(error);
  return /^\w+\.\w+: /.test(message) ? invalid(message) : invalid(`${field.path}: ${message}`);
};

const wireTypeOf = (field: Field): number => {
  if (field.kind === 'string' || field.kind === 'bytes' || field.kind === 'message') return wire.bytes;
  return field.kind === 'double' ? wire.fixed64 : wire.varint;
};

const expect = (actual: number, expected: number): void => {
  if (actual !== expected) throw invalid(`wire type ${actual} where ${expected} belongs`);
};

/** Numbers come packed or one by one; a reader has to take both. */
const readItems = (items: unknown[], field: Field, reader: Reader, wireType: number, depth: number): void => {
  const expected = wireTypeOf(field);
  if (wireType !== wire.bytes || expected === wire.bytes) {
    items.push(readValue(field, reader, wireType, depth, undefined));
    return;
  }
  const packed = new Reader(reader.bytes());
  while (!packed.done) items.push(readValue(field, packed, expected, depth, undefined));
};

/** All maps of CRI are from string to string; `defineProperty` keeps a key `__proto__` a key. */
const readEntry = (map: Values, field: Field, reader: Reader, wireType: number): void => {
  expect(wireType, wire.bytes);
  const entry = new Reader(reader.bytes());
  const parts = ['', ''];
  while (!entry.done) {
    const tag = entry.uint32();
    const part = (tag >>> 3) - 1;
    if (part === 0 || part === 1) {
      expect(tag & 7, wire.bytes);
      parts[part] = entry.string();
    } else entry.skip(tag & 7);
  }
  const [key = '', value] = parts;
  if (field.kind !== 'string') throw invalid(`a map of ${field.kind}`);
  Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true });
};

const readValue = (field: Field, reader: Reader, wireType: number, depth: number, before: unknown): unknown => {
  expect(wireType, wireTypeOf(field));
  switch (field.kind) {
    case 'string':
      return reader.string();
    case 'bytes':
      // a copy: a view would keep the whole request in memory
      return new Uint8Array(reader.bytes());
    case 'bool':
      return reader.uint64() !== 0n;
    case 'double':
      return reader.double();
    case 'int32':
      return reader.uint32() | 0;
    case 'uint32':
      return reader.uint32();
    case 'int64':
      return BigInt.asIntN(64, reader.uint64());
    case 'uint64':
      return reader.uint64();
    case 'enum':
      return enumName(field, reader.uint32() | 0);
    case 'message': {
      const type = messageType(field.type);
      // a message that comes twice is merged
      return decodeInto((before as Values | undefined) ?? fresh(type), type, reader.bytes(), depth + 1);
    }
  }
};

const enumName = (field: Field, value: number): string => {
  const type = enumType(field.type);
  const name = type.names.get(value);
  if (name === undefined) throw invalid(`${value} is no value of ${type.name}`);
  return name;
};
