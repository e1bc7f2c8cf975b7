import { BerthError } from '../../base/errors.ts';

/**
 * What kubelet tells apart (cri-api, pkg/errors). Its client gives an error without its code only when that is UNKNOWN,
 * and its image manager then looks at how the text begins: `RegistryUnavailable: …`. All else is ErrImagePull.
 */
export type PullFailure = 'RegistryUnavailable' | 'SignatureValidationFailed';

const failures = new WeakMap<object, PullFailure>();

/** Marks the error; whoever wraps it (`within`) keeps the mark. */
export const markedFailure = (failure: PullFailure, error: BerthError): BerthError => {
  failures.set(error, failure);
  return error;
};

/** The mark of the error or of one of its causes. */
export const pullFailureOf = (error: unknown): PullFailure | undefined => {
  for (let at = error, depth = 0; at instanceof Error && depth < 16; at = at.cause, depth += 1) {
    const failure = failures.get(at);
    if (failure !== undefined) return failure;
  }
  return undefined;
};

/** The error as kubelet wants it; one without a mark stays as it is. */
export const asKubeletWants = (error: unknown): unknown => {
  const failure = pullFailureOf(error);
  if (failure === undefined || !(error instanceof Error)) return error;
  return new BerthError('unknown', `${failure}: ${error.message}`, { cause: error });
};
