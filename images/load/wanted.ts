import { invalid } from '../../base/errors.ts';
import type { Descriptor } from '../manifest.ts';
import { imagesIn } from '../platform.ts';
import { formatReference, parseReference, type Reference } from '../reference.ts';
import type { NamedEntry } from './contents.ts';

/** A name and the entries that it stands for: one, or one a platform. */
export interface Wanted {
  readonly reference: Reference;
  readonly entries: readonly Descriptor[];
}

/**
 * Which images are taken, under which names: all, by their own; with a `name` the one that has it, or, when there is just one,
 * that one under this name alone. Throws invalid-argument when that leaves an image without a name.
 */
export const wantedOf = (entries: readonly NamedEntry[], name: string | undefined, what: string): readonly Wanted[] => {
  const images = entries.filter(({ descriptor }) => imagesIn([descriptor]).length > 0);
  if (images.length === 0) throw invalid(`${what}: it holds no image`);
  const named = byName(images);
  if (name !== undefined) return [chosen(images, named, parseReference(name), what)];
  const unnamed = images.filter(({ names }) => names.length === 0);
  if (unnamed.length > 0)
    throw invalid(
      named.size === 0
        ? `${what}: it does not name its image; give a name`
        : `${what}: ${unnamed.length} of its images have no name; give the name of one that has: ${listed(named)}`,
    );
  return [...named.values()];
};

const byName = (entries: readonly NamedEntry[]): ReadonlyMap<string, Wanted> => {
  const named = new Map<string, Wanted>();
  for (const { descriptor, names } of entries)
    for (const reference of names.map((text) => parseReference(text))) {
      const key = formatReference(reference);
      const before = named.get(key)?.entries ?? [];
      named.set(key, { reference, entries: [...before, descriptor] });
    }
  return named;
};

const chosen = (
  entries: readonly NamedEntry[],
  named: ReadonlyMap<string, Wanted>,
  reference: Reference,
  what: string,
): Wanted => {
  const own = named.get(formatReference(reference));
  if (own !== undefined) return own;
  const sets = new Set([...named.values()].map((wanted) => wanted.entries.map(({ digest }) => digest).join()));
  const isOne = sets.size + Number(entries.some(({ names }) => names.length === 0)) === 1;
  if (!isOne) throw invalid(`${what}: it holds several images; give the name of one: ${listed(named)}`);
  return { reference, entries: entries.map(({ descriptor }) => descriptor) };
};

const mostListed = 20;

const listed = (named: ReadonlyMap<string, Wanted>): string => {
  const names = [...named.keys()];
  const more = names.length - mostListed;
  return `${names.slice(0, mostListed).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
};
