import { invalid, notFound, within } from '../base/errors.ts';
import { holdKey } from './holds.ts';
import type { StoredName } from './records/stored.ts';
import { formatReference, nameOf, parseReference } from './reference.ts';
import type { ImageStore } from './store.ts';
import type { ImageRecord } from './types.ts';
import { documentsOf, type GivenTools, verifyGiven } from './verify/given.ts';

/** What `untagImage` took away. */
export interface Untagged {
  readonly names: readonly string[];
  /** No name is left: the image goes, its layers when no container needs them. */
  readonly isGone: boolean;
  readonly image: ImageRecord;
}

/** Gives the image of `source` another name; no digest comes with it, since no registry has it by that name yet. */
export const tagImage = async (tools: GivenTools, source: string, target: string): Promise<void> => {
  const { catalog, holds } = tools.store;
  const what = `tag ${JSON.stringify(source.slice(0, 300))}`;
  const reference = parseReference(target);
  if (target.includes('@')) throw invalid(`${what}: ${target}: a digest is not given, it follows from the content`);
  const image = catalog.resolve(source);
  const stored = image && catalog.image(image.id);
  if (image === undefined || stored === undefined) throw notFound(`${what}: there is no such image`);
  using _hold = holds.take(holdKey('image', image.id));
  const from = nameOfSource(catalog.names(), image, source);
  const root = from?.target ?? stored.manifest;
  const read = () => documentsOf(tools.store, root, stored.manifest);
  try {
    await verifyGiven(tools, { reference, target: root }, read, new AbortController().signal);
  } catch (error) {
    throw within(what, error);
  }
  await catalog.addName({
    name: formatReference(reference),
    image: image.id,
    target: root,
    ...(from?.blobs && { blobs: from.blobs }),
  });
};

/** The name that is meant; of an image that is meant by id, one of its names. */
const nameOfSource = (names: readonly StoredName[], image: ImageRecord, source: string): StoredName | undefined => {
  const own = names.filter((name) => name.image === image.id);
  return own.find(({ name }) => name === normalised(source)) ?? own[0];
};

const normalised = (text: string): string | undefined => {
  try {
    return formatReference(parseReference(text));
  } catch {
    return undefined;
  }
};

/**
 * A name that is meant goes alone, and with the last tag of a repository the digests that were pulled from there. Who gives
 * an id means the image with all of its names.
 */
export const untagImage = async ({ catalog }: ImageStore, refOrId: string): Promise<Untagged> => {
  const image = catalog.resolve(refOrId);
  if (image === undefined)
    throw notFound(`remove image ${JSON.stringify(refOrId.slice(0, 300))}: there is no such image`);
  const own = catalog.names().filter((name) => name.image === image.id);
  const meant = own.find(({ name }) => name === normalised(refOrId));
  const going = meant === undefined ? own : [meant, ...digestsOf(own, meant)];
  // Tags first: while a name is left, it is by digest.
  for (const name of going) await catalog.removeName(name);
  return { names: going.map(({ name }) => name), isGone: going.length === own.length, image };
};

const digestsOf = (own: readonly StoredName[], meant: StoredName): readonly StoredName[] => {
  if (meant.name.includes('@')) return [];
  const repository = nameOf(parseReference(meant.name));
  const others = own.filter((name) => name !== meant && nameOf(parseReference(name.name)) === repository);
  return others.every(({ name }) => name.includes('@')) ? others : [];
};
