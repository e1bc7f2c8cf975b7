/**
 * What kind of failure it is; `api/` maps each to one gRPC status and nobody else does.
 * The names are those of gRPC's canonical codes.
 */
export type ErrorCode =
  | 'cancelled'
  | 'unknown'
  | 'invalid-argument'
  | 'deadline-exceeded'
  | 'not-found'
  | 'already-exists'
  | 'permission-denied'
  | 'resource-exhausted'
  | 'failed-precondition'
  | 'aborted'
  | 'out-of-range'
  | 'unimplemented'
  | 'internal'
  | 'unavailable'
  | 'data-loss'
  | 'unauthenticated';

/** The one error class. `message` says the action, the object's id and the cause, and what to do where that is known. */
export class BerthError extends Error {
  override readonly name = 'BerthError';
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

export const codeOf = (error: unknown): ErrorCode => {
  if (error instanceof BerthError) return error.code;
  if (error instanceof Error && error.name === 'AbortError') return 'cancelled';
  // A full disk or quota: whoever asked can make room and ask again.
  if (['ENOSPC', 'EDQUOT'].includes(errnoOf(error) ?? '')) return 'resource-exhausted';
  return 'internal';
};

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** The same failure with the outer action in front: `start container 3f2a: mount /proc: EPERM`. Keeps the code. */
export const within = (action: string, error: unknown): BerthError =>
  new BerthError(codeOf(error), `${action}: ${messageOf(error)}`, { cause: error });

/** The `errno` name of a Node system error (`ENOENT`), or undefined. */
export const errnoOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;

/** Awaits `promise` and takes ENOENT as undefined. */
export const orMissing = async <T>(promise: Promise<T>): Promise<T | undefined> => {
  try {
    return await promise;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw error;
  }
};

export const invalid = (message: string): BerthError => new BerthError('invalid-argument', message);
export const notFound = (message: string): BerthError => new BerthError('not-found', message);
