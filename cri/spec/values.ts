import { invalid } from '../../base/errors.ts';
import type { Int64 } from './types.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: control bytes are what is looked for
const control = /[\u0000-\u001f\u007f]/;

export const hasControl = (text: string): boolean => control.test(text);

/** Text that ends in a file or a path: a control byte could begin a line of its own there (CVE-2022-4318). */
export const plainText = (text: string, field: string, limit = 4096): string => {
  if (text.length > limit) throw invalid(`${field}: ${text.length} characters, at most ${limit} are allowed`);
  if (hasControl(text)) throw invalid(`${field}: ${JSON.stringify(text)} holds a control character`);
  return text;
};

/** A 64-bit number, whole or refused. Nothing is 0, as proto3 has it. */
export const int64 = (value: Int64 | undefined, field: string): bigint => {
  if (typeof value === 'number' && !Number.isSafeInteger(value))
    throw invalid(`${field}: ${value} is not a whole number`);
  return BigInt(value ?? 0);
};

/** The same, within bounds, as a number. */
export const boundedInt = (
  value: Int64 | undefined,
  field: string,
  min: number,
  max = Number.MAX_SAFE_INTEGER,
): number => {
  const whole = int64(value, field);
  if (whole < BigInt(min) || whole > BigInt(max)) throw invalid(`${field}: ${whole} is not between ${min} and ${max}`);
  return Number(whole);
};

/** The name of an enum value; what the wire did not know comes as its number. `names` in the order of their numbers. */
export const enumName = <T extends string>(value: T | number | undefined, names: readonly T[], field: string): T => {
  const found = typeof value === 'string' ? names.find((name) => name === value) : names[value ?? 0];
  if (found === undefined) throw invalid(`${field}: ${value} is not one of ${names.join(', ')}`);
  return found;
};

/** An absolute path without `.`, `..`, doubled or trailing slashes; a relative one counts from "/". `..` stops at the root. */
export const cleanPath = (path: string, field: string): string => {
  const parts: string[] = [];
  for (const part of plainText(path, field).split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
};

/** An absolute path as it stands: nothing to clean, so that it means the same to all who read it. */
export const absolutePath = (path: string, field: string): string => {
  if (!path.startsWith('/')) throw invalid(`${field}: "${path}" is not an absolute path`);
  if (plainText(path, field).split('/').includes('..')) throw invalid(`${field}: "${path}" holds ".."`);
  return cleanPath(path, field);
};

/** Is `path` the directory or below it? Both clean. */
export const isUnder = (directory: string, path: string): boolean =>
  path === directory || directory === '/' || path.startsWith(`${directory}/`);
