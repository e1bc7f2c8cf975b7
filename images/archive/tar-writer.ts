import { blockSize } from './tar-header.ts';

export interface TarMember {
  /** ASCII, relative. Of a directory without the slash at the end. */
  readonly path: string;
  /** Undefined: a directory. */
  readonly size?: number;
}

/** What eleven octal digits hold; a larger file has its size in a pax header as well. */
const largest = 8 ** 11 - 1;
const longestName = 100;

/**
 * The header of a member (POSIX ustar, pax for what does not fit). The same for the same member: owner root, the time 0,
 * 0644 or 0755.
 */
export const tarHeader = ({ path, size }: TarMember): Buffer => {
  const name = size === undefined ? `${path}/` : path;
  const records = [
    ...(name.length > longestName ? [paxRecord('path', name)] : []),
    ...(size !== undefined && size > largest ? [paxRecord('size', String(size))] : []),
  ].join('');
  const own = header(name.slice(0, longestName), size === undefined ? '5' : '0', Math.min(size ?? 0, largest));
  if (records === '') return own;
  const data = Buffer.from(records);
  return Buffer.concat([header('pax', 'x', data.length), data, tarFill(data.length), own]);
};

/** What follows a content of so many bytes. */
export const tarFill = (size: number): Buffer => Buffer.alloc((blockSize - (size % blockSize)) % blockSize);

export const tarEnd: Buffer = Buffer.alloc(2 * blockSize);

const header = (name: string, type: '0' | '5' | 'x', size: number): Buffer => {
  const block = Buffer.alloc(blockSize);
  const put = (at: number, text: string): void => void block.write(text, at, 'latin1');
  put(0, name);
  put(100, octal(type === '5' ? 0o755 : 0o644, 8));
  put(108, octal(0, 8));
  put(116, octal(0, 8));
  put(124, octal(size, 12));
  put(136, octal(0, 12));
  put(148, ' '.repeat(8));
  put(156, type);
  put(257, 'ustar\x0000');
  put(
    148,
    `${octal(
      block.reduce((sum, byte) => sum + byte, 0),
      7,
    )} `,
  );
  return block;
};

const octal = (value: number, width: number): string => `${value.toString(8).padStart(width - 1, '0')}\0`;

/** `<length> <key>=<value>\n`, where the length counts itself. */
const paxRecord = (key: string, value: string): string => {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (`${length}`.length + rest.length !== length) length += 1;
  return `${length}${rest}`;
};
