import { BerthError } from '../../base/errors.ts';

/** Owner and permission bits (at most 07777) of a root directory. */
export interface RootAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** What the unpacker says about a layer. */
export interface UnpackReport {
  /** Entries of the archive. */
  readonly entries: number;
  /** Bytes of file content. */
  readonly bytes: number;
  /** The sum of the files' content; undefined where one was replaced by another. */
  readonly content: string | undefined;
  /** Links to files that the layer lacks. */
  readonly hardlinks: number;
  /** Undefined where the layer has no entry for its root. */
  readonly root: RootAttributes | undefined;
  /** Whether nothing of the layers below shows. */
  readonly isOpaque: boolean;
  /** The whole report where the layer invented parents or links to files it lacks, for `layer-fix`; else empty. */
  readonly records: Buffer;
}

/** Fields that follow each keyword; every field ends with a NUL. */
const fields: Readonly<Record<string, number>> = {
  entries: 1,
  bytes: 1,
  content: 1,
  root: 3,
  'opaque-root': 0,
  parent: 1,
  hardlink: 2,
  end: 0,
};

/** Reads the report of `unpack` or `layer-fix`; without the closing `end` it was cut off. */
export const parseReport = (report: Buffer | undefined, what: string): UnpackReport => {
  const words = (report ?? Buffer.alloc(0)).toString('latin1').split('\0');
  const counts = new Map<string, number>();
  let root: RootAttributes | undefined;
  let content: string | undefined;
  const seen = new Map<string, number>();
  for (let at = 0; at < words.length; ) {
    const keyword = words[at] ?? '';
    const width = fields[keyword];
    if (width === undefined || at + width >= words.length) break;
    if (keyword === 'end') return { ...summary(counts, seen, report), root, content };
    if (keyword === 'content') content = words[at + 1];
    if (keyword === 'root') root = readRoot(words.slice(at + 1, at + 1 + width), what);
    if (width === 1) counts.set(keyword, Number(words[at + 1]));
    seen.set(keyword, (seen.get(keyword) ?? 0) + 1);
    at += 1 + width;
  }
  throw new BerthError('internal', `${what}: the unpacker's report is cut off or not understood`);
};

const readRoot = ([mode = '', uid = '', gid = '']: readonly string[], what: string): RootAttributes => {
  if (!/^[0-7]{1,4}$/.test(mode) || ![uid, gid].every((id) => /^\d{1,10}$/.test(id)))
    throw new BerthError('internal', `${what}: the unpacker's report is cut off or not understood`);
  return { mode: Number.parseInt(mode, 8), uid: Number(uid), gid: Number(gid) };
};

const summary = (
  counts: ReadonlyMap<string, number>,
  seen: ReadonlyMap<string, number>,
  report: Buffer | undefined,
): Omit<UnpackReport, 'root' | 'content'> => {
  const hardlinks = seen.get('hardlink') ?? 0;
  const needsFixup = hardlinks > 0 || seen.has('parent');
  return {
    entries: counts.get('entries') ?? 0,
    bytes: counts.get('bytes') ?? 0,
    hardlinks,
    isOpaque: seen.has('opaque-root'),
    records: needsFixup && report !== undefined ? report : Buffer.alloc(0),
  };
};
