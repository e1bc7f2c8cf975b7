import type { ImageSpec } from '../../api/generated/types.ts';
import type { ImageRecord } from '../../images/index.ts';
import { formatReference, nameOf, parseReference, type Reference } from '../../images/reference.ts';

/** What the status of a container calls its image. */
export interface ImageNames {
  /** A tag; a reference by digest when that was asked for or no tag is there; the id when it has no name. */
  readonly imageName: string;
  /** A reference by digest; the id when there is none. */
  readonly imageRef: string;
}

/**
 * The kubelet creates by id and shows users what the status says: that must be the name that they gave, and not the one that another
 * pod has for the same content (containerd's `repoTags[0]`).
 */
export const imageNames = (
  { id, repoTags, repoDigests }: Pick<ImageRecord, 'id' | 'repoTags' | 'repoDigests'>,
  spec: Pick<ImageSpec, 'image' | 'user_specified_image'> | undefined,
): ImageNames => {
  const asked = [spec?.user_specified_image ?? '', spec?.image ?? ''].flatMap(referenceOf);
  const exact = (names: readonly string[]) => asked.map(formatReference).find((name) => names.includes(name));
  const related = (names: readonly string[]) => names.find((name) => hasRepositoryOf(name, asked));
  const imageRef = exact(repoDigests) ?? related(repoDigests) ?? repoDigests[0] ?? id;
  const imageName = exact([...repoTags, ...repoDigests]) ?? related(repoTags) ?? repoTags[0] ?? imageRef;
  return { imageName, imageRef };
};

/** Ids are no references. */
const referenceOf = (text: string): readonly Reference[] => {
  try {
    return [parseReference(text)];
  } catch {
    return [];
  }
};

const hasRepositoryOf = (name: string, asked: readonly Reference[]): boolean => {
  const repository = nameOf(parseReference(name));
  return asked.some((reference) => nameOf(reference) === repository);
};
