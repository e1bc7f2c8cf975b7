import { BerthError, messageOf } from '../base/errors.ts';
import { fresh } from './decode.ts';
import type { Input, Messages } from './generated/types.ts';
import { enumType, type Field, type MessageType, messageType } from './schema.ts';

type Values = Record<string, unknown>;
type Scalar = (field: Field, value: unknown) => unknown;

/** A message for a state file: only what is set, 64 bits as decimal text, bytes as base64, enums by name. */
export const toJson = <Name extends keyof Messages>(name: Name, message: Input<Messages[Name]>): Values =>
  fieldsToJson(messageType(name), message as Values, (field, value) => {
    if (field.kind === 'bytes') return Buffer.from(value as Uint8Array).toString('base64');
    return field.kind.endsWith('64') ? String(value) : value;
  });

/**
 * A message as Go's encoding/json writes it, which is what scripts know from other runtimes' `info`: only what is set, enums and
 * 64 bits as numbers (beyond 2^53 the nearest one), bytes (the values of variables, a string until CRI 0.36) as the text that they are.
 */
export const toGoJson = <Name extends keyof Messages>(name: Name, message: Input<Messages[Name]>): Values =>
  fieldsToJson(messageType(name), message as Values, (field, value) => {
    if (field.kind === 'enum') return enumType(field.type).numbers.get(String(value)) || undefined;
    if (field.kind === 'bytes') return Buffer.from(value as Uint8Array).toString('utf8');
    return field.kind.endsWith('64') ? Number(value) : value;
  });

const fieldsToJson = (type: MessageType, message: Values, scalar: Scalar): Values => {
  const json: Values = {};
  for (const field of type.fields) {
    const value = message[field.name];
    if (value !== undefined && !isEmpty(field, value)) json[field.name] = toJsonField(field, value, scalar);
  }
  return json;
};

/** An empty message is something: its presence counts. */
const isEmpty = (field: Field, value: unknown): boolean =>
  field.list === 'map'
    ? Object.keys(value as object).length === 0
    : value === '' || value === 0 || value === 0n || value === false || (Array.isArray(value) && value.length === 0);

const toJsonField = (field: Field, value: unknown, scalar: Scalar): unknown => {
  if (field.list === 'list') return (value as unknown[]).map((item) => toJsonValue(field, item, scalar));
  return field.list === 'map' ? value : toJsonValue(field, value, scalar);
};

const toJsonValue = (field: Field, value: unknown, scalar: Scalar): unknown => {
  if (field.kind === 'message') return fieldsToJson(messageType(field.type), value as Values, scalar);
  return scalar(field, value);
};

/** The message that `toJson` wrote, with every field there. Throws `data-loss` when it is none. */
export const fromJson = <Name extends keyof Messages>(name: Name, json: unknown): Messages[Name] => {
  try {
    return fieldsFromJson(messageType(name), json) as unknown as Messages[Name];
  } catch (error) {
    throw new BerthError('data-loss', `read ${name} from JSON: ${messageOf(error)}`, { cause: error });
  }
};

const fieldsFromJson = (type: MessageType, json: unknown): Values => {
  if (!isObject(json)) throw new Error(`${type.name} is not an object`);
  const message = fresh(type);
  for (const field of type.fields) {
    const value = json[field.name];
    if (value !== undefined) message[field.name] = fromJsonField(field, value);
  }
  return message;
};

const isObject = (value: unknown): value is Values =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const fromJsonField = (field: Field, value: unknown): unknown => {
  if (field.list === 'map') {
    if (!isObject(value) || Object.values(value).some((item) => typeof item !== 'string')) throw unfit(field);
    return value;
  }
  if (field.list !== 'list') return fromJsonValue(field, value);
  if (!Array.isArray(value)) throw unfit(field);
  return value.map((item) => fromJsonValue(field, item));
};

const jsonTypes = {
  string: 'string',
  enum: 'string',
  bool: 'boolean',
  double: 'number',
  int32: 'number',
  uint32: 'number',
};

const fromJsonValue = (field: Field, value: unknown): unknown => {
  if (field.kind === 'message') return fieldsFromJson(messageType(field.type), value);
  if (field.kind === 'bytes' && typeof value === 'string') return new Uint8Array(Buffer.from(value, 'base64'));
  if (field.kind === 'int64' || field.kind === 'uint64') {
    if (typeof value !== 'string' || !/^-?\d{1,20}$/.test(value)) throw unfit(field);
    return BigInt(value);
  }
  if (field.kind === 'bytes' || typeof value !== jsonTypes[field.kind]) throw unfit(field);
  return value;
};

const unfit = (field: Field): Error => new Error(`${field.path} has the wrong type`);
