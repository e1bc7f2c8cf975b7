import { BerthError, invalid, messageOf } from '../base/errors.ts';
import { scanJson } from './json-scan.ts';

/** Every JSON document from a registry or an archive is at most so long, in bytes; checked before it is read. */
export const documentLimit = 4 << 20;

export type JsonObject = { readonly [key: string]: unknown };

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The object in `bytes`, which nobody can read in two ways (json-scan.ts); `what` begins the error: `manifest sha256:…`. */
export const parseObject = (bytes: Uint8Array, what: string): JsonObject => {
  const value = parseJson(bytes, what);
  if (!isObject(value)) throw invalid(`${what}: not a JSON object`);
  return value;
};

/** The same for a list of objects. */
export const parseObjects = (bytes: Uint8Array, what: string): readonly JsonObject[] => {
  const value = parseJson(bytes, what);
  if (!Array.isArray(value) || !value.every(isObject)) throw invalid(`${what}: not a JSON list of objects`);
  return value;
};

const parseJson = (bytes: Uint8Array, what: string): unknown => {
  try {
    const text = utf8.decode(bytes);
    scanJson(text, what);
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof BerthError) throw error;
    throw invalid(`${what}: not JSON: ${messageOf(error)}`);
  }
};

const wrong = (what: string, key: string, kind: string): BerthError => invalid(`${what}: ${key} is not ${kind}`);

/** The field's own value; what sits on a prototype is not there. A JSON null counts as left out. */
const field = (object: JsonObject, key: string): unknown =>
  Object.hasOwn(object, key) ? (object[key] ?? undefined) : undefined;

export const textField = (object: JsonObject, key: string, what: string): string => {
  const value = field(object, key) ?? '';
  if (typeof value !== 'string') throw wrong(what, key, 'a string');
  return value;
};

export const textsField = (object: JsonObject, key: string, what: string): readonly string[] => {
  const value = field(object, key) ?? [];
  if (!Array.isArray(value) || !value.every((item) => typeof item === 'string'))
    throw wrong(what, key, 'a list of strings');
  return value;
};

export const objectField = (object: JsonObject, key: string, what: string): JsonObject | undefined => {
  const value = field(object, key);
  if (value !== undefined && !isObject(value)) throw wrong(what, key, 'an object');
  return value;
};

export const objectsField = (object: JsonObject, key: string, what: string): readonly JsonObject[] | undefined => {
  const value = field(object, key);
  if (value === undefined) return undefined;
  if (!Array.isArray(value) || !value.every(isObject)) throw wrong(what, key, 'a list of objects');
  return value;
};

export const textMapField = (object: JsonObject, key: string, what: string): Readonly<Record<string, string>> => {
  const entries = Object.entries(objectField(object, key, what) ?? {});
  if (!entries.every((entry): entry is [string, string] => typeof entry[1] === 'string'))
    throw wrong(what, key, 'a map of strings');
  return Object.fromEntries(entries);
};

/** A whole number from 0 to 2^53-1. */
export const sizeField = (object: JsonObject, key: string, what: string): number => {
  const value = field(object, key);
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw wrong(what, key, 'a size');
  return value;
};
