import { status } from '@grpc/grpc-js';
import { BerthError, codeOf, type ErrorCode, messageOf } from '../base/errors.ts';

/** The one map from our error codes to gRPC's. */
const statuses = {
  cancelled: status.CANCELLED,
  unknown: status.UNKNOWN,
  'invalid-argument': status.INVALID_ARGUMENT,
  'deadline-exceeded': status.DEADLINE_EXCEEDED,
  'not-found': status.NOT_FOUND,
  'already-exists': status.ALREADY_EXISTS,
  'permission-denied': status.PERMISSION_DENIED,
  'resource-exhausted': status.RESOURCE_EXHAUSTED,
  'failed-precondition': status.FAILED_PRECONDITION,
  aborted: status.ABORTED,
  'out-of-range': status.OUT_OF_RANGE,
  unimplemented: status.UNIMPLEMENTED,
  internal: status.INTERNAL,
  unavailable: status.UNAVAILABLE,
  'data-loss': status.DATA_LOSS,
  unauthenticated: status.UNAUTHENTICATED,
} as const satisfies Record<ErrorCode, status>;

const codes = new Map<number, ErrorCode>(
  (Object.keys(statuses) as ErrorCode[]).map((code) => [statuses[code], code] as const),
);

export const toStatus = (error: unknown): { readonly code: status; readonly details: string } => ({
  code: statuses[codeOf(error)],
  details: printable(messageOf(error)),
});

/** The error behind a status that a server sent; what has no code of ours is `internal`. */
export const fromStatus = (code: number, details: string): BerthError =>
  new BerthError(codes.get(code) ?? 'internal', details);

const head = 1500;
const tail = 500;

/** One line of bounded length without control bytes: what an image or a plugin printed may end up in an error. */
export const printable = (text: string): string => {
  const short = text.length > head + tail ? `${text.slice(0, head)} … ${text.slice(-tail)}` : text;
  return short.toWellFormed().replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, escaped);
};

const escaped = (character: string): string => {
  if (character === '\n' || character === '\t') return ' ';
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
};
