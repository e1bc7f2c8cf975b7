import type { Digest } from '../../base/digest.ts';
import { notFound } from '../../base/errors.ts';
import type { StoredImage } from '../records/stored.ts';
import { formatReference, parseReference } from '../reference.ts';
import type { ImageStore } from '../store.ts';

/** An image that was asked for, what its name stands for, and the names that were meant. */
export interface Picked {
  readonly image: StoredImage;
  readonly target: Digest;
  /** Normalised. By an id all tags are meant. */
  readonly names: readonly string[];
}

/** Finds an image by a name, an id or the start of one. Throws not-found. */
export const pickImage = ({ catalog }: ImageStore, text: string): Picked => {
  const record = catalog.resolve(text);
  const image = record && catalog.image(record.id);
  if (image === undefined) throw notFound(`image ${JSON.stringify(text.slice(0, 300))}: there is no such image`);
  const own = catalog.names().filter((name) => name.image === image.id);
  const meant = own.find(({ name }) => name === normalised(text));
  const tags = own.filter(({ name }) => !name.includes('@'));
  const picked = meant === undefined ? (tags.length > 0 ? tags : own).toSorted(byName) : [meant];
  return { image, target: picked[0]?.target ?? image.manifest, names: picked.map(({ name }) => name) };
};

const byName = (a: { readonly name: string }, b: { readonly name: string }): number => (a.name < b.name ? -1 : 1);

const normalised = (text: string): string | undefined => {
  try {
    return formatReference(parseReference(text));
  } catch {
    return undefined;
  }
};
