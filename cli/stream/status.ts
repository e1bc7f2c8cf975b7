import { BerthError } from '../../base/errors.ts';

interface Status {
  readonly status?: unknown;
  readonly message?: unknown;
  readonly reason?: unknown;
  readonly details?: { readonly causes?: readonly { readonly reason?: unknown; readonly message?: unknown }[] };
}

const isStatus = (value: unknown): value is Status => typeof value === 'object' && value !== null;

const parse = (text: string): Status => {
  try {
    const value: unknown = JSON.parse(text);
    if (isStatus(value)) return value;
  } catch {
    // Told below.
  }
  throw new BerthError('internal', `the end of the session is not a Status: ${JSON.stringify(text.slice(0, 256))}`);
};

/** The exit code in a Kubernetes `Status`, 0 for Success. Errors: what a Failure of another kind says. */
export const exitCodeOf = (text: string): number => {
  const { status, message, reason, details } = parse(text);
  if (status === 'Success') return 0;
  const cause = details?.causes?.find((candidate) => candidate.reason === 'ExitCode');
  if (reason === 'NonZeroExitCode' && typeof cause?.message === 'string' && /^\d{1,3}$/.test(cause.message))
    return Number(cause.message);
  throw new BerthError(
    'failed-precondition',
    typeof message === 'string' && message !== '' ? message : 'the session failed',
  );
};
