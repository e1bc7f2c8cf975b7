import { messageOf } from '../../../base/errors.ts';
import type { ProcessEnd } from '../../../shim/streams.ts';

/** The part of Kubernetes' `Status` object (meta/v1) that clients of the error stream read. */
export interface Status {
  readonly metadata: Record<string, never>;
  readonly status: 'Success' | 'Failure';
  readonly message?: string;
  readonly reason?: string;
  readonly details?: { readonly causes: readonly { readonly reason: string; readonly message: string }[] };
  readonly code?: number;
}

export const success: Status = { metadata: {}, status: 'Success' };

/** The exit code stands in the causes, where kubectl and crictl take it from. */
export const statusOfEnd = ({ code }: ProcessEnd): Status =>
  code === 0
    ? success
    : {
        metadata: {},
        status: 'Failure',
        message: `command terminated with non-zero exit code: ${code}`,
        reason: 'NonZeroExitCode',
        details: { causes: [{ reason: 'ExitCode', message: `${code}` }] },
      };

export const statusOfError = (error: unknown): Status => ({
  metadata: {},
  status: 'Failure',
  message: `Internal error occurred: ${messageOf(error)}`,
  reason: 'InternalError',
  code: 500,
});

/** How a status goes over the error stream: the object since protocol 4, before that the message of a failure. */
export const statusText = (status: Status, asObject: boolean): string => {
  if (asObject) return JSON.stringify(status);
  return status.status === 'Success' ? '' : (status.message ?? '');
};
