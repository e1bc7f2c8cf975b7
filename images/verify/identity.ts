import { messageOf } from '../../base/errors.ts';
import { formatReference, nameOf, parseReference, type Reference } from '../reference.ts';
import type { Identity } from './policy.ts';

/** What keeps a name that was signed from being that of the image, or undefined. */
export const problemOfName = (signed: string | undefined, identity: Identity, image: Reference): string | undefined => {
  if (identity.kind === 'matchDigest') return undefined;
  if (signed === undefined) return `it signs no name, and ${identity.kind} wants one`;
  const found = readName(signed);
  if (typeof found === 'string') return found;
  const wanted = wantedName(identity, image);
  if (typeof wanted === 'string') return wanted;
  if (found.repository !== wanted.repository) return `it is for ${signed.slice(0, 300)}`;
  if (wanted.exact === undefined || wanted.exact === found.exact) return undefined;
  return `it is for ${signed.slice(0, 300)}, not for ${wanted.exact}`;
};

interface Name {
  readonly repository: string;
  /** With the tag or digest; of a signed name undefined when it has none. */
  readonly exact: string | undefined;
}

const readName = (text: string): Name | string => {
  try {
    const reference = parseReference(text);
    const isWhole = reference.digest !== undefined || /:[^/]*$/.test(text);
    return { repository: nameOf(reference), exact: isWhole ? formatReference(reference) : undefined };
  } catch (error) {
    return `its name is none: ${messageOf(error)}`;
  }
};

/** The name that a signature must have; with `exact` undefined its repository is enough. A text says why there can be none. */
const wantedName = (identity: Exclude<Identity, { kind: 'matchDigest' }>, image: Reference): Name | string => {
  const repository = nameOf(image);
  const exact = formatReference(image);
  switch (identity.kind) {
    case 'matchRepository':
      return { repository, exact: undefined };
    case 'matchExact':
      return image.digest === undefined ? { repository, exact } : 'matchExact: an image by digest has no tag to match';
    case 'matchRepoDigestOrExact':
      return { repository, exact: image.digest === undefined ? exact : undefined };
    case 'exactRepository':
      return { repository: repositoryIn(identity.name), exact: undefined };
    case 'exactReference':
      return { repository: repositoryIn(identity.name), exact: formatReference(parseReference(identity.name)) };
    case 'remapIdentity': {
      const mapped = parseReference(remapped(image, identity));
      return { repository: nameOf(mapped), exact: image.digest === undefined ? formatReference(mapped) : undefined };
    }
  }
};

const repositoryIn = (text: string): string => nameOf(parseReference(text));

/** A prefix ends where a name has a part; that of a host without a port is not for one with (containers-policy.json(5)). */
const remapped = (image: Reference, { prefix, signedPrefix }: Extract<Identity, { kind: 'remapIdentity' }>): string => {
  const exact = formatReference(image);
  const isWithin = `${nameOf(image)}/`.startsWith(`${prefix}/`);
  return isWithin ? `${signedPrefix}${exact.slice(prefix.length)}` : exact;
};
