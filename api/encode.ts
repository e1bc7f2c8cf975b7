import { BerthError } from '../base/errors.ts';
import { enumType, type Field, type MessageType, messageType } from './schema.ts';
import { Writer, wire } from './wire.ts';

type Values = Readonly<Record<string, unknown>>;

/** Defaults are left out, as every other encoder does. Throws `internal` for a value that is not of its field's type. */
export const encodeMessage = (type: MessageType, values: unknown): Buffer => {
  const writer = new Writer();
  writeFields(writer, type, values);
  return writer.finish();
};

/** One item of a list field with its tag and length. */
export const encodeListItem = (field: Field, values: unknown): Buffer => {
  const writer = new Writer();
  writeTag(writer, field, wire.bytes);
  writeValue(writer, field, values);
  return writer.finish();
};

/** The tag and the length of a field that is a message. */
export const encodeHead = (field: Field, length: number): Buffer => {
  const writer = new Writer(mostOfHead);
  writeTag(writer, field, wire.bytes);
  writer.uint32(length);
  return writer.written();
};

/** Two varints of 32 bits. */
const mostOfHead = 10;

/** One more item of a list of messages: what `parts` have of it already, then `values`. */
export const writeItem = (writer: Writer, field: Field, parts: readonly Uint8Array[], values: unknown): void => {
  writeTag(writer, field, wire.bytes);
  writer.nested(() => {
    for (const part of parts) writer.raw(part);
    writeFields(writer, messageType(field.type), values);
  });
};

const writeFields = (writer: Writer, type: MessageType, values: unknown): void => {
  if (typeof values !== 'object' || values === null) throw wrong(type.name, values);
  for (const field of type.fields) {
    const value = (values as Values)[field.name];
    if (value !== undefined) writeField(writer, field, value);
  }
};

const writeField = (writer: Writer, field: Field, value: unknown): void => {
  if (field.list === 'map') writeMap(writer, field, value);
  else if (field.list === 'list') writeList(writer, field, value);
  else if (!isDefault(field, value)) {
    writeTag(writer, field, wireTypeOf(field));
    writeValue(writer, field, value);
  }
};

const isDefault = (field: Field, value: unknown): boolean => {
  if (field.kind === 'message') return false;
  if (field.kind === 'bytes') return value instanceof Uint8Array && value.length === 0;
  if (field.kind === 'enum') return enumNumber(field, value) === 0;
  return value === '' || value === false || value === 0n || Object.is(value, 0);
};

const wireTypeOf = (field: Field): number => {
  if (field.kind === 'string' || field.kind === 'bytes' || field.kind === 'message') return wire.bytes;
  return field.kind === 'double' ? wire.fixed64 : wire.varint;
};

const writeTag = (writer: Writer, field: Field, wireType: number): void => writer.uint32((field.id << 3) | wireType);

const writeList = (writer: Writer, field: Field, value: unknown): void => {
  if (!Array.isArray(value)) throw wrong(field.path, value);
  if (value.length === 0) return;
  const packed = wireTypeOf(field) !== wire.bytes;
  if (packed) {
    writeTag(writer, field, wire.bytes);
    writer.nested(() => {
      for (const item of value) writeValue(writer, field, item);
    });
    return;
  }
  for (const item of value) {
    writeTag(writer, field, wire.bytes);
    writeValue(writer, field, item);
  }
};

/** In order, so that equal messages have equal bytes: Go clients send a map in another order each time. */
const byKey = ([one]: [string, unknown], [other]: [string, unknown]): number => (one < other ? -1 : 1);

const writeMap = (writer: Writer, field: Field, value: unknown): void => {
  if (typeof value !== 'object' || value === null) throw wrong(field.path, value);
  for (const [key, item] of Object.entries(value).sort(byKey)) {
    if (typeof item !== 'string') throw wrong(`${field.path}[${key}]`, item);
    writeTag(writer, field, wire.bytes);
    writer.nested(() => {
      writer.uint32((1 << 3) | wire.bytes);
      writer.string(key);
      writer.uint32((2 << 3) | wire.bytes);
      writer.string(item);
    });
  }
};

const writeValue = (writer: Writer, field: Field, value: unknown): void => {
  if (field.kind === 'message') writer.nested(() => writeFields(writer, messageType(field.type), value));
  else if (field.kind === 'enum') writer.uint32(enumNumber(field, value));
  else if (field.kind === 'string' && typeof value === 'string') writer.string(value);
  else if (field.kind === 'bytes' && value instanceof Uint8Array) writer.bytes(value);
  else if (field.kind === 'bool' && typeof value === 'boolean') writer.uint32(value ? 1 : 0);
  else if (field.kind === 'double' && typeof value === 'number') writer.double(value);
  else writer.uint64(integer(field, value));
};

const ranges: Readonly<Record<string, readonly [bigint, bigint]>> = {
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
};

const integer = (field: Field, value: unknown): bigint => {
  const range = ranges[field.kind];
  const exact = typeof value === 'bigint' || Number.isSafeInteger(value);
  if (range === undefined || !exact) throw wrong(field.path, value);
  const number = BigInt(value as bigint | number);
  if (number < range[0] || number > range[1]) throw wrong(field.path, value);
  return number;
};

const enumNumber = (field: Field, value: unknown): number => {
  const number = enumType(field.type).numbers.get(String(value));
  if (number === undefined) throw wrong(field.path, value);
  return number;
};

const wrong = (path: string, value: unknown): BerthError =>
  new BerthError(
    'internal',
    `encode ${path}: ${typeof value === 'object' ? 'an object' : String(value).slice(0, 100)} does not fit`,
  );
