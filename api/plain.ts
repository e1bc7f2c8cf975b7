import protobuf from 'protobufjs/light.js';
import { invalid } from '../base/errors.ts';

/** Turns one field's value, as protobufjs has it, into ours. `bytes` is what the message was read from, if it was. */
type Convert = (value: unknown, bytes: Uint8Array | undefined) => unknown;
type Fields = readonly { readonly name: string; readonly convert: Convert }[];

const known = new Map<protobuf.Type, Fields>();

/**
 * protobufjs' message as a plain object of our types. Its own `toObject` gives `null` for a missing message, lets an
 * unknown enum value through as a number and keeps the whole request alive behind each `bytes` field.
 */
export const plain = (
  type: protobuf.Type,
  message: unknown,
  bytes: Uint8Array | undefined,
): Record<string, unknown> => {
  const source = message as Record<string, unknown>;
  const result: Record<string, unknown> = {};
  for (const { name, convert } of fieldsOf(type)) result[name] = convert(source[name], bytes);
  return result;
};

const fieldsOf = (type: protobuf.Type): Fields => {
  const found = known.get(type);
  if (found !== undefined) return found;
  const fields = type.fieldsArray.map((field) => ({ name: field.name, convert: converter(field) }));
  known.set(type, fields);
  return fields;
};

const converter = (field: protobuf.Field): Convert => {
  const one = single(field);
  if (field.map) return mapConverter(one, text(field));
  if (field.repeated) return (value, bytes) => (value as unknown[]).map((item) => one(item, bytes));
  return one;
};

/** `fromEntries` defines its properties: a key `__proto__` stays a key. */
const mapConverter =
  (one: Convert, key: Convert): Convert =>
  (value, bytes) =>
    Object.fromEntries(
      Object.entries(value as object).map(([name, item]) => [key(name, bytes) as string, one(item, bytes)]),
    );

const single = (field: protobuf.Field): Convert => {
  const { resolvedType } = field;
  if (resolvedType instanceof protobuf.Enum) return enumName(field, resolvedType);
  if (resolvedType instanceof protobuf.Type)
    return (value, bytes) => (value === null || value === undefined ? undefined : plain(resolvedType, value, bytes));
  if (field.type === 'string') return text(field);
  if (field.type === 'bytes') return (value) => Buffer.from(value as Uint8Array);
  return field.type.endsWith('64') ? toBigInt : (value) => value;
};

const enumName =
  (field: protobuf.Field, type: protobuf.Enum): Convert =>
  (value) => {
    const name = type.valuesById[value as number];
    if (name === undefined) throw invalid(`${pathOf(field)}: ${value} is not a known ${type.name}`);
    return name;
  };

const toBigInt: Convert = (value) =>
  typeof value === 'number' ? BigInt(value) : (value as { toBigInt(): bigint }).toBigInt();

/** protobufjs reads invalid UTF-8 as U+FFFD; such a path or command would name something else than the client meant. */
const text =
  (field: protobuf.Field): Convert =>
  (value, bytes) => {
    if (bytes !== undefined && (value as string).includes('\uFFFD') && !Buffer.from(bytes).includes('\uFFFD'))
      throw invalid(`${pathOf(field)}: not UTF-8`);
    return value;
  };

const pathOf = (field: protobuf.Field): string => `${field.parent?.name}.${field.name}`;
