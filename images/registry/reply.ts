import { BerthError, type ErrorCode } from '../../base/errors.ts';
import { isObject } from '../json.ts';
import { redacted } from './redact.ts';
import { outage, parseRetryAfter, temporary } from './temporary.ts';
import type { Reply } from './transport.ts';

/** The whole body, at most `limit` bytes: more is an error, before it is read where its length is told. */
export const readWhole = async (reply: Reply, limit: number, what: string): Promise<Buffer> => {
  if (Number(reply.headers['content-length'] ?? 0) > limit) {
    reply.destroy();
    throw tooLarge(what, limit);
  }
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of reply.body) {
    length += chunk.length;
    if (length > limit) throw tooLarge(what, limit);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
};

const tooLarge = (what: string, limit: number): BerthError =>
  new BerthError('resource-exhausted', `${what}: more than ${limit} bytes, which is the limit`);

const codes: Readonly<Record<number, ErrorCode>> = {
  401: 'unauthenticated',
  403: 'permission-denied',
  404: 'not-found',
  410: 'not-found',
  416: 'data-loss',
  429: 'resource-exhausted',
};

/** The error for a reply that is not a success; reads the reason that the registry gives. */
export const failureOf = async (reply: Reply, what: string): Promise<BerthError> => {
  const { status } = reply;
  const reason = await reasonIn(reply);
  const code = codes[status] ?? (status >= 500 ? 'unavailable' : 'failed-precondition');
  const error = new BerthError(code, `${what}: ${reply.url.host}${viaOf(reply)} answers ${status}${reason}`);
  if (status !== 429 && status < 500) return error;
  return temporary(outage(error), parseRetryAfter(reply.headers['retry-after'], Date.now()));
};

/** What a proxy answers itself is not told apart from what it passes on. */
const viaOf = ({ via }: Reply): string => (via === undefined ? '' : ` (by proxy ${via})`);

const longestReason = 4096;

/** The message of the distribution spec's error body, in printable characters; nothing when there is none. */
const reasonIn = async (reply: Reply): Promise<string> => {
  try {
    const body: unknown = JSON.parse((await readWhole(reply, longestReason, 'error')).toString('utf8'));
    const errors = isObject(body) ? body.errors : undefined;
    const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
    if (!isObject(first)) return '';
    const text = [first.code, first.message].filter((part) => typeof part === 'string').join(': ');
    return text === ''
      ? ''
      : ` (${redacted(text)
          .replaceAll(/[^\x20-\x7e]/g, '?')
          .slice(0, 200)})`;
  } catch {
    reply.destroy();
    return '';
  }
};
