import { BerthError, messageOf } from '../../base/errors.ts';

export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `where` stands in front of every error: a file's path, or a plugin and its command. */
export const wrong = (where: string, what: string): BerthError => new BerthError('data-loss', `${where}: ${what}`);

export const parseJson = (text: string, where: string): Json => {
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    throw wrong(where, `not JSON: ${messageOf(error)}`);
  }
};

export const asObject = (value: Json | undefined, where: string): JsonObject => {
  if (!isObject(value)) throw wrong(where, 'not a JSON object');
  return value;
};

export const objectAt = (object: JsonObject, key: string, where: string): JsonObject | undefined =>
  object[key] === undefined || object[key] === null ? undefined : asObject(object[key], `${where}: ${key}`);

/** The array at `key`, empty when it is missing or null (Go writes null for an empty slice). */
export const arrayAt = (object: JsonObject, key: string, where: string, limit = 1024): readonly Json[] => {
  const value = object[key] ?? [];
  if (!Array.isArray(value)) throw wrong(where, `${key} is not a list`);
  if (value.length > limit) throw wrong(where, `${key} has ${value.length} entries, limit ${limit}`);
  return value as readonly Json[];
};

export const stringAt = (object: JsonObject, key: string, where: string): string => {
  const value = object[key] ?? '';
  if (typeof value !== 'string') throw wrong(where, `${key} is not a string`);
  return value;
};

export const stringsAt = (object: JsonObject, key: string, where: string): readonly string[] =>
  arrayAt(object, key, where).map((value) => {
    if (typeof value !== 'string') throw wrong(where, `${key} has an entry that is not a string`);
    return value;
  });

/** A boolean, also as the text "true" or "false", which libcni takes. */
export const booleanAt = (object: JsonObject, key: string, where: string): boolean => {
  const value = object[key] ?? false;
  if (typeof value === 'boolean') return value;
  if (typeof value === 'string' && /^(true|false)$/i.test(value)) return value.toLowerCase() === 'true';
  throw wrong(where, `${key} is neither true nor false`);
};

/** A whole number ≥ 0, undefined when missing. */
export const indexAt = (object: JsonObject, key: string, where: string): number | undefined => {
  const value = object[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
    throw wrong(where, `${key} is not a whole number`);
  return value;
};
