import { constants } from 'node:os';
import { BerthError, type ErrorCode, errnoOf } from '../base/errors.ts';
import { FieldReader, FrameParser } from './frames.ts';
import { Frame } from './protocol.ts';

// Some numbers have two names (EAGAIN, EWOULDBLOCK): the first one is meant.
const names = new Map(
  Object.entries(constants.errno)
    .reverse()
    .map(([name, number]) => [number, name]),
);

/** `ENOENT` for 2. */
export const errnoName = (number: number): string => names.get(number) ?? `errno ${number}`;

/** Only what tells the caller more than "it failed"; a missing file of ours must not read as a missing container. */
const codes: Readonly<Record<string, ErrorCode>> = {
  EINVAL: 'invalid-argument',
  E2BIG: 'invalid-argument',
  ENAMETOOLONG: 'invalid-argument',
  EAGAIN: 'failed-precondition',
  EBUSY: 'unavailable',
  ENOSPC: 'resource-exhausted',
  ENOMEM: 'resource-exhausted',
  EMFILE: 'resource-exhausted',
  ENFILE: 'resource-exhausted',
};

/** What the container's own program, its path or its working directory is the cause of, or a sysctl of the request. */
const execCodes: Readonly<Record<string, ErrorCode>> = {
  ...codes,
  ENOENT: 'invalid-argument',
  ENOTDIR: 'invalid-argument',
  ENOEXEC: 'invalid-argument',
  ELOOP: 'invalid-argument',
  EACCES: 'permission-denied',
};

/** What people know, and search for, of a program that does not start. */
const execTexts: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ENOTDIR: 'not a directory',
  ENOEXEC: 'exec format error',
  ELOOP: 'too many levels of symbolic links',
  EACCES: 'permission denied',
};

/** FRAME_ERROR's payload as an error: `mount /proc: EPERM`, `exec sh: ENOENT: no such file or directory`. `cause` carries the errno's name, for `errnoOf`, and the operation. */
export const nativeError = (payload: Buffer): BerthError => {
  const reader = new FieldReader(payload);
  const code = errnoName(reader.number());
  const [operation, object] = [reader.text(), reader.text()];
  const cause = Object.assign(new Error(code), { code, operation });
  const message = `${operation}${object === '' ? '' : ` ${object}`}: ${code}`;
  // clone(2) says EAGAIN for one thing alone: a limit of processes, mostly the container's own.
  if (code === 'EAGAIN' && /^(?:clone|fork)\b/.test(operation))
    return new BerthError('resource-exhausted', `${message}: its limit of processes is reached`, { cause });
  const ofGuest = ['exec', 'chdir', 'open sysctl', 'write sysctl'].includes(operation);
  if (!ofGuest) return new BerthError(codes[code] ?? 'internal', message, { cause });
  const text = execTexts[code];
  return new BerthError(execCodes[code] ?? 'internal', text === undefined ? message : `${message}: ${text}`, { cause });
};

/** The errno's name when it was the container's own program that could not be executed; undefined for all else. */
export const execErrno = (error: unknown): string | undefined => {
  for (let at = error; at instanceof Error; at = at.cause)
    if ('operation' in at && at.operation === 'exec') return errnoOf(at);
  return undefined;
};

/** The error that a role of ours wrote to its stdout as a frame; undefined when it wrote none. */
export const errorOnStdout = (stdout: Buffer): BerthError | undefined => {
  const frame = new FrameParser().push(stdout)[0];
  return frame?.type === Frame.ERROR ? nativeError(frame.payload) : undefined;
};
