/** In this order, and as often as they stand here. */
export type PaxRecords = readonly (readonly [string, string | Uint8Array])[];

/** A small tar writer for tests: it writes what it is told, right or wrong. */
export interface TarEntry {
  readonly name: string;
  readonly type?: string; // '0' by default
  readonly data?: Uint8Array | string;
  readonly link?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly major?: number;
  readonly minor?: number;
  /** Records of a pax header in front of the entry. */
  readonly pax?: Readonly<Record<string, string | Uint8Array>> | PaxRecords;
  /** A GNU long name (or link) header in front of the entry. */
  readonly gnuLong?: boolean;
  /** GNU base-256 instead of octal for uid, gid and mtime. */
  readonly base256?: boolean;
  /** The size field, when it shall lie. */
  readonly size?: number;
  /** Changes the header before its checksum is taken. */
  readonly header?: (header: Buffer) => void;
  /** Blocks between the header and the data, as old GNU sparse headers have them. */
  readonly extension?: Uint8Array;
  /** The checksum, when it shall be wrong. */
  readonly checksum?: number;
}

const block = 512;
const bytesOf = (data: Uint8Array | string | undefined): Buffer =>
  data === undefined ? Buffer.alloc(0) : typeof data === 'string' ? Buffer.from(data) : Buffer.from(data);

const padded = (data: Buffer): Buffer => Buffer.concat([data, Buffer.alloc((block - (data.length % block)) % block)]);

const octal = (header: Buffer, value: number, at: number, width: number): void => {
  header.write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, 'latin1');
};

const base256 = (header: Buffer, value: number, at: number, width: number): void => {
  const wide = BigInt.asUintN(64, BigInt(value));
  header.fill(value < 0 ? 0xff : 0, at, at + width);
  for (let i = 0; i < Math.min(8, width); i++) header[at + width - 1 - i] = Number((wide >> BigInt(8 * i)) & 0xffn);
  header[at] = (header[at] ?? 0) | 0x80;
};

const ustarHeader = (entry: TarEntry, size: number): Buffer => {
  const header = Buffer.alloc(block);
  const number = entry.base256 === true ? base256 : octal;
  Buffer.from(entry.name).copy(header, 0, 0, 100);
  octal(header, entry.mode ?? (entry.type === '5' ? 0o755 : 0o644), 100, 8);
  number(header, entry.uid ?? 0, 108, 8);
  number(header, entry.gid ?? 0, 116, 8);
  octal(header, entry.size ?? size, 124, 12);
  number(header, entry.mtime ?? 1_600_000_000, 136, 12);
  header.write(entry.type ?? '0', 156, 'latin1');
  Buffer.from(entry.link ?? '').copy(header, 157, 0, 100);
  header.write('ustar\x0000', 257, 'latin1');
  octal(header, entry.major ?? 0, 329, 8);
  octal(header, entry.minor ?? 0, 337, 8);
  entry.header?.(header);
  header.fill(' ', 148, 156);
  const sum = entry.checksum ?? header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
};

/** `LENGTH KEY=VALUE\n`, where the length counts its own digits. */
export const paxRecord = (key: string, value: string | Uint8Array): Buffer => {
  const body = Buffer.concat([Buffer.from(` ${key}=`), bytesOf(value), Buffer.from('\n')]);
  let length = body.length;
  while (String(length).length + body.length !== length) length = String(length).length + body.length;
  return Buffer.concat([Buffer.from(String(length)), body]);
};

const special = (type: string, data: Buffer): Buffer =>
  Buffer.concat([ustarHeader({ name: '././@header', type }, data.length), padded(data)]);

const recordsOf = (pax: NonNullable<TarEntry['pax']>): PaxRecords =>
  Array.isArray(pax) ? (pax as PaxRecords) : Object.entries(pax);

const entryBytes = (entry: TarEntry): Buffer => {
  const parts: Buffer[] = [];
  if (entry.pax !== undefined)
    parts.push(special('x', Buffer.concat(recordsOf(entry.pax).map(([key, value]) => paxRecord(key, value)))));
  if (entry.gnuLong === true) parts.push(special('L', Buffer.from(`${entry.name}\0`)));
  if (entry.gnuLong === true && entry.link !== undefined) parts.push(special('K', Buffer.from(`${entry.link}\0`)));
  const data = bytesOf(entry.data);
  parts.push(ustarHeader(entry, data.length), bytesOf(entry.extension), padded(data));
  return Buffer.concat(parts);
};

/** The archive with its two zero blocks; `end: false` leaves them out. */
export const tar = (entries: readonly TarEntry[], options: { readonly end?: boolean } = {}): Buffer =>
  Buffer.concat([...entries.map(entryBytes), Buffer.alloc(options.end === false ? 0 : 2 * block)]);

export const directory = (name: string, rest: Partial<TarEntry> = {}): TarEntry => ({ name, type: '5', ...rest });
export const file = (name: string, data = '', rest: Partial<TarEntry> = {}): TarEntry => ({ name, data, ...rest });
export const symlink = (name: string, link: string): TarEntry => ({ name, type: '2', link, mode: 0o777 });
export const hardlink = (name: string, link: string): TarEntry => ({ name, type: '1', link });
