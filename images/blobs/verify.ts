import { createHash, type Hash } from 'node:crypto';
import { type Digest, digestParts, sha256 } from '../../base/digest.ts';
import { BerthError } from '../../base/errors.ts';

export const hashFor = (digest: Digest): Hash => createHash(digestParts(digest).algorithm);

export const digestOf = (bytes: Uint8Array): Digest => sha256(bytes);

/** data-loss: content with the digest `found` (hex) where `expected` should be. */
export const mismatch = (what: string, expected: Digest, found: string): BerthError =>
  new BerthError(
    'data-loss',
    `${what}: its content has the digest ${digestParts(expected).algorithm}:${found}, not ${expected}`,
  );

/** Throws data-loss unless `bytes` have the digest. */
export const checkBytes = (bytes: Uint8Array, digest: Digest, what: string): void => {
  const found = hashFor(digest).update(bytes).digest('hex');
  if (found !== digestParts(digest).hex) throw mismatch(what, digest, found);
};

/** Passes the chunks on and fails at their end, or at the first byte too many, when size or digest are not as expected. */
export async function* verified(
  chunks: AsyncIterable<Buffer>,
  { digest, size }: { readonly digest: Digest; readonly size: number },
  what: string,
): AsyncGenerator<Buffer> {
  const hash = hashFor(digest);
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > size) throw new BerthError('data-loss', `${what}: more than the ${size} bytes of its descriptor`);
    hash.update(chunk);
    yield chunk;
  }
  if (length < size) throw new BerthError('data-loss', `${what}: ends after ${length} of ${size} bytes`);
  const found = hash.digest('hex');
  if (found !== digestParts(digest).hex) throw mismatch(what, digest, found);
}
