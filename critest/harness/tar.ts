/** One member of a tar archive. Owner root, mode 0644 (directories and programs 0755) unless told. */
export interface TarEntry {
  readonly name: string;
  /** Default: `file`. */
  readonly type?: 'file' | 'hardlink' | 'symlink' | 'directory' | 'char' | 'block' | 'fifo';
  readonly data?: string | Uint8Array;
  /** Target of a link. */
  readonly link?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly major?: number;
  readonly minor?: number;
  /** Records of a pax header before the member, such as `SCHILY.xattr.user.a`. */
  readonly pax?: Readonly<Record<string, string>>;
}

const types = { file: '0', hardlink: '1', symlink: '2', char: '3', block: '4', directory: '5', fifo: '6' } as const;
const blockSize = 512;
/** 2023-11-14T22:13:20Z: a fixed time makes fixed digests. */
const mtime = 1_700_000_000;

const octal = (value: number, width: number): string => `${value.toString(8).padStart(width - 1, '0')}\0`;

const padded = (data: Uint8Array): Buffer =>
  Buffer.concat([data, Buffer.alloc((blockSize - (data.length % blockSize)) % blockSize)]);

const header = (entry: TarEntry, flag: string, size: number): Buffer => {
  const block = Buffer.alloc(blockSize);
  const put = (offset: number, text: string): void => void block.write(text, offset, 'utf8');
  if (Buffer.byteLength(entry.name) > 100) throw new Error(`tar: name is too long: ${entry.name}`);
  put(0, entry.name);
  put(100, octal(entry.mode ?? (entry.type === 'directory' ? 0o755 : 0o644), 8));
  put(108, octal(entry.uid ?? 0, 8));
  put(116, octal(entry.gid ?? 0, 8));
  put(124, octal(size, 12));
  put(136, octal(mtime, 12));
  put(148, '        ');
  put(156, flag);
  put(157, entry.link ?? '');
  put(257, 'ustar\x0000');
  put(329, octal(entry.major ?? 0, 8));
  put(337, octal(entry.minor ?? 0, 8));
  put(
    148,
    `${octal(
      block.reduce((sum, byte) => sum + byte, 0),
      7,
    )} `,
  );
  return block;
};

/** `<length> <key>=<value>\n`, where the length counts itself. */
const paxRecord = (key: string, value: string): string => {
  const rest = Buffer.byteLength(` ${key}=${value}\n`);
  let length = rest + 1;
  while (`${length}`.length + rest !== length) length += 1;
  return `${length} ${key}=${value}\n`;
};

const member = (entry: TarEntry): Buffer[] => {
  const data = Buffer.from(entry.data ?? '');
  const own = [header(entry, types[entry.type ?? 'file'], data.length), padded(data)];
  if (entry.pax === undefined) return own;
  const records = Buffer.from(
    Object.entries(entry.pax)
      .map(([key, value]) => paxRecord(key, value))
      .join(''),
  );
  return [header({ name: 'pax' }, 'x', records.length), padded(records), ...own];
};

/** An uncompressed archive of the members in this order. */
export const tar = (entries: readonly TarEntry[]): Buffer =>
  Buffer.concat([...entries.flatMap(member), Buffer.alloc(2 * blockSize)]);
