import { invalid } from '../../base/errors.ts';

/** The bytes of a block; headers are one, contents are filled up to whole ones. */
export const blockSize = 512;

/** One header block as it stands there; what pax and GNU headers before it say is not in it. */
export interface TarHeader {
  readonly name: string;
  readonly link: string;
  readonly size: number;
  /** The type flag: `0` a file, `5` a directory, `x` a pax header. */
  readonly type: string;
}

const checksumAt = 148;

/** Undefined for a block of zeros, which ends an archive. Throws invalid-argument with `what` in front. */
export const readHeader = (block: Buffer, what: string): TarHeader | undefined => {
  if (block.every((byte) => byte === 0)) return undefined;
  const sum = block.reduce((all, byte, at) => all + (at >= checksumAt && at < checksumAt + 8 ? 0x20 : byte), 0);
  if (sum !== numberIn(block.subarray(checksumAt, checksumAt + 8)))
    throw invalid(`${what} is not a tar archive, or broken: a header has a wrong checksum`);
  // GNU's older form has other things where POSIX has the name's first part.
  const prefix = block.toString('latin1', 257, 263) === 'ustar\0' ? readText(block.subarray(345, 500), what) : '';
  const name = readText(block.subarray(0, 100), what);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    link: readText(block.subarray(157, 257), what),
    size: readNumber(block.subarray(124, 136), what),
    type: String.fromCharCode(block[156] ?? 0),
  };
};

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** Up to the first zero byte. */
export const readText = (field: Buffer, what: string): string => {
  const end = field.indexOf(0);
  try {
    return utf8.decode(end < 0 ? field : field.subarray(0, end));
  } catch {
    throw invalid(`${what}: a name is not UTF-8`);
  }
};

/** Octal digits, or GNU's base 256 for what is larger. */
const readNumber = (field: Buffer, what: string): number => {
  const value = numberIn(field);
  if (!Number.isSafeInteger(value)) throw invalid(`${what}: a header has a number that is none`);
  return value;
};

const numberIn = (field: Buffer): number => (((field[0] ?? 0) & 0x80) === 0 ? octal(field) : base256(field));

const octal = (field: Buffer): number => {
  const text = field
    .toString('latin1')
    .replace(/^[ 0]*/, '')
    .replace(/[ \0]*$/, '');
  return /^[0-7]*$/.test(text) ? Number.parseInt(`0${text}`, 8) : Number.NaN;
};

/** The first bit marks it, the second would make it negative. */
const base256 = (field: Buffer): number =>
  field[0] === 0x80 ? field.subarray(1).reduce((value, byte) => value * 256 + byte, 0) : Number.NaN;
