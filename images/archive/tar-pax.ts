import { invalid } from '../../base/errors.ts';

/** What a pax header changes of the entry behind it. */
export interface PaxChanges {
  readonly path?: string;
  readonly linkpath?: string;
  readonly size?: number;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

/**
 * Reads the records `<length> <key>=<value>\n` of a pax header (POSIX pax, "pax Header Block"). What says nothing about
 * names and bytes (times, owners) is left out. Throws invalid-argument.
 */
export const readPax = (bytes: Buffer, what: string): PaxChanges => {
  const changes: { path?: string; linkpath?: string; size?: number } = {};
  for (let at = 0; at < bytes.length; ) {
    const [key, value, end] = readRecord(bytes, at, what);
    if (key.startsWith('GNU.sparse.')) throw invalid(`${what}: sparse files are not for an archive of images`);
    if (key === 'path' || key === 'linkpath') changes[key] = textOf(value, what);
    else if (key === 'size') changes.size = sizeOf(value, what);
    at = end;
  }
  return changes;
};

const readRecord = (bytes: Buffer, at: number, what: string): [string, Buffer, number] => {
  const [, digits = ''] = /^(\d{1,7}) /.exec(bytes.toString('latin1', at, at + 8)) ?? [];
  const end = at + Number(digits);
  const equals = bytes.indexOf('=', at + digits.length + 1);
  if (digits === '' || end > bytes.length || equals < 0 || equals >= end || bytes[end - 1] !== 0x0a)
    throw invalid(`${what}: a pax header is broken`);
  return [bytes.toString('utf8', at + digits.length + 1, equals), bytes.subarray(equals + 1, end - 1), end];
};

const textOf = (value: Buffer, what: string): string => {
  try {
    return utf8.decode(value);
  } catch {
    throw invalid(`${what}: a name is not UTF-8`);
  }
};

const sizeOf = (value: Buffer, what: string): number => {
  const text = value.toString('latin1');
  const size = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(size)) throw invalid(`${what}: a pax header has a size that is none`);
  return size;
};
