import { BerthError, type ErrorCode } from '../../base/errors.ts';
import type { Helper, HelperRequest, HelperResult } from '../types.ts';

/** By the errno's text at the end of the helper's line, as musl and glibc write it. */
const codes: readonly (readonly [RegExp, ErrorCode])[] = [
  [
    /^execute |was killed by signal|Function not implemented$|Permission denied$|Read-only file system$|No error information$/,
    'internal',
  ],
  [/(?:No space left on device|[Qq]uota exceeded)$/, 'resource-exhausted'],
  [/(?:Out of memory|Cannot allocate memory)$/, 'resource-exhausted'],
  [/(?:No file descriptors available|Too many open files(?: in system)?)$/, 'resource-exhausted'],
  [/(?:I\/O error|Input\/output error|Structure needs cleaning)$/, 'data-loss'],
];

/** What is not the machine's fault is the layer's. */
export const codeFor = (line: string): ErrorCode =>
  codes.find(([pattern]) => pattern.test(line))?.[1] ?? 'invalid-argument';

/** Runs `berth-shim` and makes an error of any end but exit 0 (or one of `allowed`); `what` begins it. */
export const runHelper = async (
  helper: Helper,
  request: HelperRequest,
  what: string,
  allowed: readonly number[] = [0],
): Promise<HelperResult> => {
  const result = await helper.run({ object: what, ...request });
  if (result.signal === 0 && allowed.includes(result.code)) return result;
  const line = result.stderr.toString('utf8').trim().split('\n').at(-1)?.slice(0, 500) ?? '';
  const end = result.signal === 0 ? `exit ${result.code}` : `signal ${result.signal}`;
  if (line === '') throw new BerthError('internal', `${what}: the helper ended with ${end}`);
  throw new BerthError(result.signal === 0 ? codeFor(line) : 'internal', `${what}: ${line}`);
};
