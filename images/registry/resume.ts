import { BerthError } from '../../base/errors.ts';
import { canRetry, pauseAfter, type RetryPolicy } from './temporary.ts';
import type { Reply } from './transport.ts';

export interface Transfer {
  /** Of the whole blob. */
  readonly size: number;
  readonly what: string;
  readonly policy: RetryPolicy;
  readonly signal: AbortSignal;
}

/** Bytes of a blob, from `begin` up to and without `end`. */
export interface Piece {
  readonly begin: number;
  /** Becomes the blob's size when the server ignores ranges and gives everything. */
  end: number;
}

/** Asks for a piece, with the header that `rangeOf` gives. */
export type Open = (begin: number, end: number, signal: AbortSignal) => Promise<Reply>;

export const rangeOf = (begin: number, end: number, size: number): Readonly<Record<string, string>> => {
  if (begin === 0 && end === size) return {};
  return { range: end === size ? `bytes=${begin}-` : `bytes=${begin}-${end - 1}` };
};

/** A server that cuts after every few bytes must not keep a pull busy for ever. */
const mostCuts = 64;
const fewBytes = 32 << 10;

/**
 * The bytes of a piece; after a cut or a stall it goes on where it was. Gives up after `tries` failures with a few bytes
 * between them. Never more bytes than the piece has, and fewer only with an error; the digest is the reader's to check.
 */
export async function* resumed(open: Open, piece: Piece, transfer: Transfer): AsyncGenerator<Buffer> {
  const { policy, signal } = transfer;
  let offset = piece.begin;
  let failures = 0;
  for (let cuts = 0; offset < piece.end; cuts += 1) {
    const begun = offset;
    try {
      const reply = await open(offset, piece.end, signal);
      for await (const chunk of bodyOf(reply, offset, piece, transfer)) {
        offset += chunk.length;
        if (offset - begun >= fewBytes) failures = 0;
        yield chunk;
      }
    } catch (error) {
      // What came was all of it, however the connection ended.
      if (offset === piece.end && canRetry(error)) return;
      failures += 1;
      await pauseAfter(error, cuts < mostCuts ? failures : policy.tries, policy, signal);
    }
  }
}

/** The body from `offset` on, also of a server that ignores Range and begins at 0. */
async function* bodyOf(reply: Reply, offset: number, piece: Piece, transfer: Transfer): AsyncGenerator<Buffer> {
  const { what } = transfer;
  try {
    const [first, end] = extentOf(reply, offset, piece, transfer);
    let at = first;
    for await (const chunk of reply.body) {
      const rest = at < offset ? chunk.subarray(offset - at) : chunk;
      at += chunk.length;
      if (at > end) throw lost(`${what}: more than the ${end} bytes that it is to have`);
      if (rest.length > 0) yield rest;
    }
    if (at < end) throw lost(`${what}: ends after ${at} of ${end} bytes`);
  } finally {
    reply.destroy();
  }
}

/** Which bytes the body has; anything but what was asked for, or the whole blob, is data-loss. */
const extentOf = (reply: Reply, offset: number, piece: Piece, { size, what }: Transfer): readonly [number, number] => {
  const { 'content-length': length, 'content-range': range } = reply.headers;
  if (reply.status !== 206) piece.end = size;
  const [first, end] = reply.status === 206 ? rangeIn(range, offset, piece, size, what) : [0, size];
  if (length !== undefined && Number(length) !== end - first)
    throw lost(`${what}: ${length} bytes are offered, the manifest says ${end - first}`);
  return [first, end];
};

/** A server may give fewer bytes than were asked for (RFC 9110, 15.3.7): the next request asks for the rest. */
const rangeIn = (
  range: string | undefined,
  offset: number,
  { begin, end }: Piece,
  size: number,
  what: string,
): readonly [number, number] => {
  const [, first, last, total] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(range ?? '') ?? [];
  const isAsked = offset > 0 || begin > 0 || end < size;
  const isWhole = total === '*' || Number(total) === size;
  if (isAsked && isWhole && Number(first) === offset && Number(last) >= offset && Number(last) < end)
    return [offset, Number(last) + 1];
  throw lost(`${what}: asked for bytes ${offset}-${end - 1} of ${size}, got the range ${range ?? 'nothing'}`);
};

const lost = (message: string): BerthError => new BerthError('data-loss', message);
