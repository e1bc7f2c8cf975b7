import { type Digest, isDigest } from '../../base/digest.ts';
import { invalid, messageOf } from '../../base/errors.ts';
import { objectField, parseObject, textField } from '../json.ts';
import { formatReference, nameOf, parseReference, type Reference } from '../reference.ts';
import type { Identity } from './policy.ts';

/** What a signature says that it signs: the simple signing format of containers, as cosign writes it. */
export interface Claim {
  readonly digest: Digest;
  /** `host/repository`, with a tag where the signer gave one. */
  readonly name: string;
}

const types = ['cosign container image signature', 'atomic container signature'];

export const parseClaim = (payload: Uint8Array): Claim => {
  const what = 'payload';
  const critical = objectField(parseObject(payload, what), 'critical', what);
  if (critical === undefined) throw invalid(`${what}: has no critical part`);
  const strange = Object.keys(critical).find((key) => !['identity', 'image', 'type'].includes(key));
  if (strange !== undefined) throw invalid(`${what}: critical.${strange} is not known`);
  if (!types.includes(textField(critical, 'type', what)))
    throw invalid(`${what}: critical.type is not that of an image`);
  const digest = textField(objectField(critical, 'image', what) ?? {}, 'docker-manifest-digest', what);
  if (!isDigest(digest)) throw invalid(`${what}: docker-manifest-digest is not a digest`);
  return { digest, name: textField(objectField(critical, 'identity', what) ?? {}, 'docker-reference', what) };
};

/** What keeps a name that was signed from being that of the image, or undefined. */
export const problemOfName = (signed: string, identity: Identity, image: Reference): string | undefined => {
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
const wantedName = (identity: Identity, image: Reference): Name | string => {
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
      const mapped = parseReference(remapped(exact, identity));
      return { repository: nameOf(mapped), exact: image.digest === undefined ? formatReference(mapped) : undefined };
    }
  }
};

const repositoryIn = (text: string): string => nameOf(parseReference(text));

/** A prefix ends where a name has a part. */
const remapped = (name: string, { prefix, signedPrefix }: Extract<Identity, { kind: 'remapIdentity' }>): string => {
  const rest = name.slice(prefix.length);
  return name.startsWith(prefix) && /^[/:@]/.test(rest) ? `${signedPrefix}${rest}` : name;
};
