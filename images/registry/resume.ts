import { BerthError } from '../../base/errors.ts';
import { pauseAfter, type RetryPolicy } from './temporary.ts';
import type { Reply } from './transport.ts';

export interface Transfer {
  readonly size: number;
  readonly what: string;
  readonly policy: RetryPolicy;
  readonly signal: AbortSignal;
}

/** A server that cuts after every few bytes must not keep a pull busy for ever. */
const mostCuts = 64;

/**
 * The bytes of a blob; after a cut or a stall it goes on where it was. Gives up after `tries` failures without a byte
 * between them. Size and digest are the reader's to check.
 */
export async function* resumed(open: (offset: number) => Promise<Reply>, transfer: Transfer): AsyncGenerator<Buffer> {
  const { size, what, policy, signal } = transfer;
  let offset = 0;
  let failures = 0;
  for (let cuts = 0; ; cuts += 1) {
    try {
      for await (const chunk of bodyFrom(await open(offset), offset, size, what)) {
        offset += chunk.length;
        failures = 0;
        yield chunk;
      }
      return;
    } catch (error) {
      failures += 1;
      await pauseAfter(error, cuts < mostCuts ? failures : policy.tries, policy, signal);
    }
  }
}

/** The body from `offset` on, also of a server that ignores Range and begins at 0. */
async function* bodyFrom(reply: Reply, offset: number, size: number, what: string): AsyncGenerator<Buffer> {
  let surplus = reply.status === 206 ? 0 : offset;
  try {
    checkLength(reply, offset, size, what);
    for await (const chunk of reply.body) {
      const rest = surplus === 0 ? chunk : chunk.subarray(surplus);
      surplus -= chunk.length - rest.length;
      if (rest.length > 0) yield rest;
    }
  } finally {
    reply.destroy();
  }
}

const checkLength = (reply: Reply, offset: number, size: number, what: string): void => {
  const { 'content-length': length, 'content-range': range } = reply.headers;
  const begin = reply.status === 206 ? offset : 0;
  if (reply.status === 206 && (offset === 0 || !range?.startsWith(`bytes ${offset}-`)))
    throw new BerthError('data-loss', `${what}: asked for bytes from ${offset}, got the range ${range ?? 'nothing'}`);
  if (length !== undefined && Number(length) !== size - begin)
    throw new BerthError('data-loss', `${what}: ${length} bytes are offered, the manifest says ${size - begin}`);
};
