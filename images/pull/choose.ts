import { BerthError, notFound } from '../../base/errors.ts';
import { type Descriptor, type ImageManifest, parseManifest } from '../manifest.ts';
import { indexTypes } from '../media-types.ts';
import { chooseManifest, describePlatform, imagesIn } from '../platform.ts';
import type { Document, Source } from '../source.ts';
import type { Platform } from '../types.ts';

/** The image manifest for a platform and the documents that led to it, the first one asked for first. */
export interface Choice {
  readonly manifest: ImageManifest;
  readonly documents: readonly [Document, ...Document[]];
}

/** Indexes in an index; a tree of indexes in a hostile registry must not be walked for ever. */
const deepest = 3;
const mostFetches = 8;

/** Walks from `root` to the manifest for the first of `platforms` that there is. Throws not-found with what there is. */
export const chooseImage = async (
  root: Document,
  platforms: readonly Platform[],
  fetch: Source['manifest'],
  signal: AbortSignal,
): Promise<Choice> => {
  const walk = new Walk(platforms, fetch, signal);
  const choice = await walk.visit(root, 0);
  if (choice === undefined) throw notFound(noneFor(root, platforms, walk.seen));
  return choice;
};

/** Of the entries of an index, the one that `chooseImage` would come to the image by. */
export const chooseEntry = async (
  index: Document,
  entries: readonly Descriptor[],
  platforms: readonly Platform[],
  fetch: Source['manifest'],
  signal: AbortSignal,
): Promise<Document> => {
  const walk = new Walk(platforms, fetch, signal);
  const entry = (await walk.visitEntries(index, entries, 0))?.documents[1];
  if (entry === undefined) throw notFound(noneFor(index, platforms, walk.seen));
  return entry;
};

class Walk {
  /** The images met, for the error. */
  readonly seen: Descriptor[] = [];
  readonly #platforms: readonly Platform[];
  readonly #fetch: Source['manifest'];
  readonly #signal: AbortSignal;
  #fetches = 0;

  constructor(platforms: readonly Platform[], fetch: Source['manifest'], signal: AbortSignal) {
    this.#platforms = platforms;
    this.#fetch = fetch;
    this.#signal = signal;
  }

  async visit(document: Document, depth: number): Promise<Choice | undefined> {
    const parsed = parseManifest(document.bytes, document.mediaType, `manifest ${document.digest}`);
    if (parsed.kind === 'manifest') return { manifest: parsed, documents: [document] };
    return this.visitEntries(document, parsed.manifests, depth);
  }

  async visitEntries(document: Document, entries: readonly Descriptor[], depth: number): Promise<Choice | undefined> {
    this.seen.push(...imagesIn(entries));
    for (const entry of candidates(entries, this.#platforms, depth)) {
      this.#fetches += 1;
      if (this.#fetches > mostFetches) return undefined;
      const child = await this.#fetch(entry.digest, this.#signal);
      checkLength(child, entry);
      const found = await this.visit({ ...child, mediaType: entry.mediaType }, depth + 1);
      if (found !== undefined) return { ...found, documents: [document, ...found.documents] };
    }
    return undefined;
  }
}

/** Who trusts the size that an index tells would read a part of it, or more than it. */
const checkLength = ({ bytes }: Document, { digest, size }: Descriptor): void => {
  if (bytes.length !== size)
    throw new BerthError('data-loss', `manifest ${digest}: has ${bytes.length} bytes, its descriptor says ${size}`);
};

/** The manifest that fits best, else the nested indexes. */
const candidates = (
  entries: readonly Descriptor[],
  platforms: readonly Platform[],
  depth: number,
): readonly Descriptor[] => {
  const best = chooseManifest(entries, platforms);
  if (best?.platform !== undefined) return [best];
  const nested = depth + 1 < deepest ? imagesIn(entries).filter((entry) => indexTypes.includes(entry.mediaType)) : [];
  return best === undefined ? nested : [...nested, best];
};

const noneFor = (root: Document, platforms: readonly Platform[], seen: readonly Descriptor[]): string => {
  const there = new Set(
    seen.flatMap(({ platform, mediaType }) =>
      platform === undefined || mediaType === '' ? [] : [describePlatform(platform)],
    ),
  );
  const list = there.size === 0 ? 'no platform' : [...there].slice(0, 40).join(', ');
  const [best] = platforms;
  const wanted = best === undefined ? 'this machine' : describePlatform(best);
  const untyped = seen.filter(({ mediaType }) => mediaType === '').length;
  const left = untyped === 0 ? '' : `; ${untyped} of its entries have no mediaType, and are left out`;
  return `index ${root.digest}: no image for ${wanted}; it has ${list}${left}`;
};
