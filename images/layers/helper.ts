import { BerthError, type ErrorCode } from '../../base/errors.ts';
import type { Helper, HelperRequest, HelperResult } from '../types.ts';

/** The helper's error line says the errno at its end; what is not the machine's fault is the layer's. */
const codeFor = (line: string): ErrorCode => {
  if (/Function not implemented|Permission denied|Read-only file system/.test(line)) return 'internal';
  if (/No space left|Disk quota/.test(line)) return 'resource-exhausted';
  if (/Cannot allocate memory|Too many open files/.test(line)) return 'resource-exhausted';
  if (/Input\/output error|Structure needs cleaning/.test(line)) return 'data-loss';
  return 'invalid-argument';
};

/** Runs `berth-shim` and makes an error of any end but exit 0 (or one of `allowed`); `what` begins it. */
export const runHelper = async (
  helper: Helper,
  request: HelperRequest,
  what: string,
  allowed: readonly number[] = [0],
): Promise<HelperResult> => {
  const result = await helper.run(request);
  if (result.signal === 0 && allowed.includes(result.code)) return result;
  const line = result.stderr.toString('utf8').trim().split('\n').at(-1)?.slice(0, 500) ?? '';
  const end = result.signal === 0 ? `exit ${result.code}` : `signal ${result.signal}`;
  if (line === '') throw new BerthError('internal', `${what}: the helper ended with ${end}`);
  throw new BerthError(result.signal === 0 ? codeFor(line) : 'internal', `${what}: ${line}`);
};
