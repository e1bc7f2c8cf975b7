import type { Digest } from '../../base/digest.ts';
import { BerthError, notFound, within } from '../../base/errors.ts';
import { formatReference, type Reference } from '../reference.ts';
import type { Document, Source } from '../source.ts';
import type { ImageStore } from '../store.ts';
import type { Helper } from '../types.ts';
import type { Policies } from './policies.ts';
import { verifyImage } from './verify.ts';

export interface GivenTools {
  readonly policies: Policies;
  readonly helper: Helper;
  readonly store: ImageStore;
}

/** A name that is given here to what has this digest. */
export interface Given {
  readonly reference: Reference;
  readonly target: Digest;
  /** Where signatures come along: with an archive or a layout. */
  readonly signatures?: Source;
}

type Documents = readonly [Document, ...Document[]];

/** A name that is given to what is here comes with no signatures. */
const nowhere: Source = {
  manifest: async (digest) => {
    throw notFound(`${digest}: a name that is given here has no signatures`);
  },
  // biome-ignore lint/correctness/useYield: it has nothing
  blob: async function* () {
    throw notFound('there is no blob');
  },
};

/**
 * Asks the node's policy about a name that is given here and not pulled: by a load, an import, a tag. A name that it has let in and
 * that stands for the same is let be; one that only a namespace's policy has let in is not. Errors: permission-denied.
 */
export const verifyGiven = async (
  { policies, helper, store }: GivenTools,
  { reference, target, signatures = nowhere }: Given,
  read: () => Documents | Promise<Documents>,
  signal: AbortSignal,
): Promise<void> => {
  const { key, policy } = policies.of(undefined);
  const name = formatReference(reference);
  const known = store.catalog.name(name);
  if (policy === undefined || (known?.target === target && (known.letIn ?? [key]).includes(key))) return;
  const advice = 'pull it from its registry, or give it a name that the policy lets be';
  try {
    await verifyImage(policy, helper, { source: signatures, reference, documents: await read(), signal, advice });
  } catch (error) {
    throw within(name, error);
  }
};

/** What a name of an image that is here stands for: the index if there is one, and the image's own manifest. */
export const documentsOf = async ({ blobs }: ImageStore, target: Digest, manifest: Digest): Promise<Documents> => {
  const read = async (digest: Digest): Promise<Document> => {
    const bytes = await blobs.read(digest);
    if (bytes === undefined) throw new BerthError('failed-precondition', `its manifest ${digest} is not here any more`);
    return { bytes, mediaType: '', digest };
  };
  return target === manifest ? [await read(target)] : [await read(target), await read(manifest)];
};
