import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { sha256 } from '../../base/digest.ts';
import { image, mediaTypes, writeLayout } from '../harness/image.ts';
import { Layers } from './layers.ts';
import { directory, file, tar } from './tar.ts';

/**
 * A tree, entry for entry: the path, and on one line all that can be seen of it: type, mode, owner, size, mtime to the
 * nanosecond, device, the target of a link or the first name of a hard link, the content's hash, extended attributes.
 */
export type Tree = ReadonlyMap<string, string>;

/** GNU tar as the eyes: it sees all metadata, and Node sees no extended attribute. */
const lookCommand =
  "tar -c --sort=name --format=pax --pax-option=delete=atime,delete=ctime --numeric-owner --xattrs --xattrs-include='*' .";

export const treeAt = (directory: string): Tree =>
  readTree(execFileSync('sh', ['-c', lookCommand], { cwd: directory, maxBuffer: 2 ** 31 - 1 }));

/** What a container sees of the layers, each unpacked on its own, with the fix-ups between them: the kernel's overlay. */
export const seenByBerth = async (layers: Layers, streams: readonly Buffer[]): Promise<Tree> =>
  readTree(await layers.bytesInMerged(await layers.chain(streams), lookCommand));

/** What the other program leaves otherwise, by path. */
export interface Ignored {
  readonly tar?: RegExp;
  readonly umoci?: RegExp;
}

export const equalTrees = async (
  t: ExecutionContext,
  streams: readonly Buffer[],
  { tar, umoci }: Ignored = {},
): Promise<void> => {
  await using layers = await Layers.make();
  const ours = await seenByBerth(layers, streams);
  t.true(ours.size > 10);
  t.log(`${ours.size} entries`);
  t.deepEqual(differences(ours, treeAt(unpackedByTar(layers.path, streams)), tar), [], 'GNU tar');
  t.deepEqual(differences(ours, treeAt(await unpackedByUmoci(layers.path, streams)), umoci), [], 'umoci unpack');
  const raw = await unpackedByUmoci(layers.path, streams, { raw: true });
  t.deepEqual(differences(ours, treeAt(raw), umoci), [], 'umoci raw unpack');
};

/** A layer of these directories, and one that takes some of it away and adds to it. */
export const partOfThisMachine = (directories: readonly string[]): readonly Buffer[] => {
  const names = ['--no-recursion', 'usr', 'usr/lib', 'usr/share', '--recursion', ...directories];
  const options = ['--xattrs', '--xattrs-include=*', '--format=pax', '--exclude=*.sock'];
  const stream = execFileSync('tar', ['-c', ...options, '-C', '/', ...names], {
    maxBuffer: 2 ** 31 - 1,
    stdio: 'pipe',
  });
  const first = readdirSync('/usr/share/perl5')[0] ?? 'none';
  const above = [
    { name: `usr/share/perl5/.wh.${first}` },
    file('usr/share/perl5/new', 'x'),
    directory(`usr/share/${first}`),
  ];
  return [stream, tar(above)];
};

/**
 * What differs, a line each: `PATH: OURS | THEIRS`. Paths that `ignored` matches are left out, and the root, which a
 * container has from its writable layer.
 */
export const differences = (ours: Tree, theirs: Tree, ignored?: RegExp): readonly string[] =>
  [...new Set([...ours.keys(), ...theirs.keys()])]
    .filter((path) => path !== './' && ignored?.test(path) !== true && ours.get(path) !== theirs.get(path))
    .map((path) => `${path}: ${ours.get(path) ?? 'nothing'} | ${theirs.get(path) ?? 'nothing'}`);

const text = (block: Buffer, at: number, width: number): string => {
  const field = block.subarray(at, at + width);
  const end = field.indexOf(0);
  return field.toString('latin1', 0, end < 0 ? width : end);
};

const numeric = (block: Buffer, at: number, width: number): string => {
  if (((block[at] ?? 0) & 0x80) === 0) return String(Number.parseInt(text(block, at, width) || '0', 8));
  return String(BigInt.asIntN(64, block.readBigUInt64BE(at + width - 8)));
};

const readRecords = (data: Buffer): ReadonlyMap<string, string> => {
  const records = new Map<string, string>();
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(' ', at);
    const end = at + Number(data.toString('latin1', at, space));
    const record = data.toString('latin1', space + 1, end - 1);
    records.set(record.slice(0, record.indexOf('=')), record.slice(record.indexOf('=') + 1));
    at = end;
  }
  return records;
};

/** Reads what `lookCommand` writes; no other archive. */
export const readTree = (stream: Buffer): Tree => {
  const tree = new Map<string, string>();
  let records: ReadonlyMap<string, string> = new Map();
  for (let at = 0; stream[at] !== 0; ) {
    const block = stream.subarray(at, at + 512);
    const type = String.fromCharCode(block[156] ?? 0);
    const size = Number((type === 'x' ? undefined : records.get('size')) ?? numeric(block, 124, 12));
    const data = stream.subarray(at + 512, at + 512 + size);
    at += 512 + Math.ceil(size / 512) * 512;
    if (type === 'x') {
      records = readRecords(data);
      continue;
    }
    const prefix = text(block, 345, 155);
    const name = records.get('path') ?? `${prefix}${prefix === '' ? '' : '/'}${text(block, 0, 100)}`;
    tree.set(name, describe(block, type, data, records));
    records = new Map();
  }
  return tree;
};

const describe = (block: Buffer, type: string, data: Buffer, records: ReadonlyMap<string, string>): string => {
  const link = records.get('linkpath') ?? text(block, 157, 100);
  if (type === '1') return `is ${link}`;
  const xattrs = [...records]
    .filter(([key]) => key.startsWith('SCHILY.xattr.'))
    .map(([key, value]) => `${key.slice(13)}=${value}`);
  return [
    type,
    numeric(block, 100, 8),
    records.get('uid') ?? numeric(block, 108, 8),
    records.get('gid') ?? numeric(block, 116, 8),
    data.length,
    records.get('mtime') ?? numeric(block, 136, 12),
    type === '3' || type === '4' ? `${numeric(block, 329, 8)}:${numeric(block, 337, 8)}` : '',
    link,
    type === '0' ? createHash('sha256').update(data).digest('hex').slice(0, 16) : '',
    ...xattrs.toSorted(),
  ].join(' ');
};

/** What `umoci` makes of the layers, lowest first; `raw` without the bundle around it. */
export const unpackedByUmoci = async (
  directory: string,
  layers: readonly Buffer[],
  { raw = false } = {},
): Promise<string> => {
  const to = join(directory, raw ? 'umoci-raw' : 'umoci');
  const layout = `${to}-layout`;
  const made = layers.map((blob) => ({ diffId: sha256(blob), digest: sha256(blob), blob }));
  await writeLayout(layout, new Map([['it', image(made, {}, undefined, mediaTypes.plainLayer)]]));
  const args = [...(raw ? ['raw'] : []), 'unpack', '--image', `${layout}:it`, to];
  execFileSync('umoci', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  return raw ? to : join(to, 'rootfs');
};

/**
 * What GNU tar makes of the layers applied in order; what it does not know of layers is done before. It follows links out
 * of the tree: not for layers that write through absolute ones.
 */
export const unpackedByTar = (directory: string, layers: readonly Buffer[]): string => {
  const to = join(directory, 'tar');
  mkdirSync(to);
  for (const layer of layers) {
    const list = execFileSync('tar', ['-tv', '--quoting-style=literal'], { input: layer, maxBuffer: 2 ** 31 - 1 });
    for (const line of list.toString('latin1').split('\n')) {
      const [, type, name] = /^(.).*? \d\d:\d\d (.*?)(?: -> .*| link to .*)?$/.exec(line) ?? [];
      if (name !== undefined) makeRoom(to, type ?? '', name);
    }
    const options = ['--xattrs', '--xattrs-include=*', '--numeric-owner', '--same-owner', '--delay-directory-restore'];
    execFileSync('tar', ['-xp', ...options, '--exclude=.wh.*', '-C', to], { input: layer, stdio: 'pipe' });
  }
  return to;
};

const isDirectory = (path: string): boolean => {
  try {
    return lstatSync(path).isDirectory();
  } catch {
    return false;
  }
};

const makeRoom = (to: string, type: string, name: string): void => {
  const parent = join(to, dirname(name));
  const last = basename(name);
  let gone: readonly string[] = [];
  if (last === '.wh..wh..opq') gone = isDirectory(parent) ? readdirSync(parent) : [];
  else if (last.startsWith('.wh.')) gone = [last.slice(4)];
  else if (type !== 'd' && isDirectory(join(to, name))) gone = [last]; // it replaces empty directories alone
  for (const one of gone) rmSync(join(parent, one), { recursive: true, force: true });
};
