import { invalid } from '../../base/errors.ts';
import type { StringMap } from './types.ts';
import { plainText } from './values.ts';

/** A name that becomes part of keys, log lines and CNI arguments: not empty, bounded, no control bytes, no path. */
export const validateName = (name: string | undefined, field: string): string => {
  if (!name) throw invalid(`${field}: is empty`);
  if (name === '.' || name === '..' || /[/\\]/.test(plainText(name, field, 253)))
    throw invalid(`${field}: ${JSON.stringify(name)} is not a name`);
  return name;
};

export const validateAttempt = (attempt: number | undefined): number => {
  const number = attempt ?? 0;
  if (!Number.isInteger(number) || number < 0 || number > 0xffff_ffff)
    throw invalid(`metadata.attempt: ${number} is not a uint32`);
  return number;
};

// A last-applied-configuration annotation alone may hold 256 KiB; all have to fit into one gRPC message with room to spare.
const keyLimit = 4096;
const totalLimit = 4 << 20;

/** Labels or annotations as they are kept and given back. Errors: a key that is empty or too long, or too much in all. */
export const validateMap = (map: StringMap | undefined, field: string): Readonly<Record<string, string>> => {
  const entries = Object.entries(map ?? {}).map(([key, value = '']) => [key, value] as const);
  const bad = entries.find(([key]) => key === '' || key.length > keyLimit);
  if (bad) throw invalid(`${field}: a key of ${bad[0].length} characters, 1 to ${keyLimit} are allowed`);
  const total = entries.reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  if (total > totalLimit) throw invalid(`${field}: ${total} characters in all, at most ${totalLimit} are allowed`);
  return Object.fromEntries(entries);
};
