import { BerthError, invalid } from '../../base/errors.ts';
import { ByteReader } from './bytes.ts';
import { blockSize, readHeader, readText, type TarHeader } from './tar-header.ts';
import { type PaxChanges, readPax } from './tar-pax.ts';

/** A member of an archive. Its path is relative, without `.`, `..` or empty parts. */
export interface TarEntry {
  readonly path: string;
  readonly type: 'file' | 'directory' | 'symlink' | 'hardlink';
  /** Of a link, as it stands there. */
  readonly link: string;
  readonly size: number;
  /** To be read whole or not at all, and before the next entry is asked for. */
  readonly body: AsyncIterable<Buffer>;
}

const types: Readonly<Record<string, TarEntry['type']>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '5': 'directory',
};
const mostEntries = 100_000;
/** Of a pax header or a long name. */
const longestExtra = 1 << 16;
const longestPath = 4096;
/** Archives are filled up to whole records, by 10 KiB where nobody asks for more. */
const mostPadding = 16 << 20;

/**
 * Reads a tar archive (POSIX ustar and pax, GNU long names) from a stream, entry by entry, with bounded memory. Nothing of
 * it is trusted: paths that lead out, devices, sparse files and what is no tar are refused with invalid-argument, a cut
 * archive with data-loss. `what` begins the errors.
 */
export async function* readTar(chunks: AsyncIterable<Buffer>, what: string): AsyncGenerator<TarEntry> {
  await using bytes = new ByteReader(chunks, what);
  let changes: PaxChanges = {};
  for (let count = 0; ; count += 1) {
    if (count > mostEntries) throw new BerthError('resource-exhausted', `${what}: more than ${mostEntries} entries`);
    const block = await bytes.exactly(blockSize);
    const header = block && readHeader(block, what);
    if (header === undefined) break;
    const extra = await extraOf(header, bytes, what);
    if (extra !== undefined) {
      changes = { ...changes, ...extra };
      continue;
    }
    yield* entryOf(header, changes, bytes, what);
    changes = {};
  }
  await skipPadding(bytes, what);
}

/** What a header says that is only there for the one behind it; undefined for an entry. */
const extraOf = async (header: TarHeader, bytes: ByteReader, what: string): Promise<PaxChanges | undefined> => {
  if (!['x', 'g', 'L', 'K'].includes(header.type)) return undefined;
  if (header.size > longestExtra)
    throw new BerthError('resource-exhausted', `${what}: a header of ${header.size} bytes, at most ${longestExtra}`);
  const data = (await bytes.exactly(header.size)) ?? Buffer.alloc(0);
  await bytes.exactly(fillOf(header.size));
  if (header.type === 'L') return { path: readText(data, what) };
  if (header.type === 'K') return { linkpath: readText(data, what) };
  const changes = readPax(data, what);
  // It would hold for all entries that follow; nobody writes such.
  if (header.type === 'g' && Object.keys(changes).length > 0)
    throw invalid(`${what}: a global pax header gives names or sizes`);
  return changes;
};

async function* entryOf(
  header: TarHeader,
  changes: PaxChanges,
  bytes: ByteReader,
  what: string,
): AsyncGenerator<TarEntry> {
  const name = changes.path ?? header.name;
  const type = /[0\0]/.test(header.type) && name.endsWith('/') ? 'directory' : types[header.type];
  if (type === undefined)
    throw invalid(`${what}: ${shown(name)} is a ${kinds[header.type] ?? 'thing of unknown kind'}`);
  const size = type === 'file' ? (changes.size ?? header.size) : 0;
  const body = bytes.portion(size);
  yield { path: cleanPath(name, what), type, link: changes.linkpath ?? header.link, size, body };
  for await (const _ of body);
  await bytes.exactly(fillOf(size));
}

const kinds: Readonly<Record<string, string>> = {
  '3': 'device',
  '4': 'device',
  '6': 'named pipe',
  S: 'sparse file',
  M: 'part of a file of several volumes',
  V: 'label of a volume',
  D: 'list of names',
};

const fillOf = (size: number): number => (blockSize - (size % blockSize)) % blockSize;

export const shown = (name: string): string => JSON.stringify(name.slice(0, 200));

const cleanPath = (name: string, what: string): string => {
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  if (name.startsWith('/') || parts.includes('..') || name.includes('\0'))
    throw invalid(`${what}: the name ${shown(name)} leads out of it`);
  if (name.length > longestPath) throw invalid(`${what}: the name ${shown(name)}… has ${name.length} characters`);
  return parts.join('/');
};

const skipPadding = async (bytes: ByteReader, what: string): Promise<void> => {
  let length = 0;
  for await (const part of bytes.rest()) {
    length += part.length;
    if (length > mostPadding || part.some((byte) => byte !== 0)) throw invalid(`${what}: more bytes behind its end`);
  }
};
