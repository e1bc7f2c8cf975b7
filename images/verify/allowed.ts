import { BerthError } from '../../base/errors.ts';
import { markedFailure } from '../pull/failure.ts';
import type { Catalog } from '../records/catalog.ts';
import type { StoredName } from '../records/stored.ts';
import { formatReference, parseReference } from '../reference.ts';
import type { ImageRecord } from '../types.ts';
import type { Policies } from './policies.ts';
import { requirementsFor } from './scope.ts';

/**
 * An image that is here may have come by the word of another namespace's policy. Throws permission-denied unless the policy of this
 * one has let it in, or asks nothing of it. `asked`: the name in the pod, which then counts alone.
 */
export const checkAllowed = (
  policies: Policies,
  catalog: Catalog,
  image: ImageRecord,
  namespace: string,
  asked: string,
): void => {
  const { key, policy } = policies.of(namespace);
  const isLetIn = (name: StoredName): boolean => {
    if ((name.letIn ?? ['']).includes(key) || policy === undefined) return true;
    const { requirements } = requirementsFor(policy, parseReference(name.name));
    return requirements.every(({ kind }) => kind === 'accept');
  };
  const names = catalog.names().filter((name) => name.image === image.id);
  const meant = names.filter(({ name }) => name === normalised(asked));
  if ((meant.length > 0 ? meant : names).some(isLetIn)) return;
  const whose = key === '' ? "the node's policy" : `the policy of namespace ${key}`;
  throw markedFailure(
    'SignatureValidationFailed',
    new BerthError(
      'permission-denied',
      `image ${image.id}: ${whose} has not let it in: it came for another namespace; pull it for this one (imagePullPolicy: Always)`,
    ),
  );
};

const normalised = (text: string): string | undefined => {
  try {
    return formatReference(parseReference(text));
  } catch {
    return undefined;
  }
};
