import { BerthError } from '../../base/errors.ts';
import type { LayerLimit } from '../types.ts';

/** So much may come out of however few bytes: files of zeros are common, and compress a thousand times. */
const free = 1 << 30;

/**
 * Passes a layer's chunks on until they are more than `compressed` bytes may become: gzip makes a thousand bytes of
 * one, zstd thirty thousand, and the disk is everybody's. Throws resource-exhausted that names the key to raise.
 */
export async function* bounded(
  chunks: AsyncIterable<Buffer>,
  compressed: number,
  { bytes, expansion }: LayerLimit,
  what: string,
): AsyncGenerator<Buffer> {
  const suspicious = Math.max(free, compressed * expansion);
  let length = 0;
  for await (const chunk of chunks) {
    length += chunk.length;
    if (length > bytes) throw tooLarge(`${what}: unpacks to more than ${bytes} bytes`, 'max_layer_size');
    if (length > suspicious)
      throw tooLarge(
        `${what}: ${compressed} bytes unpack to more than ${suspicious}, like a decompression bomb`,
        'max_layer_expansion',
      );
    yield chunk;
  }
}

const tooLarge = (message: string, key: string): BerthError =>
  new BerthError('resource-exhausted', `${message}; if the image is to be trusted, raise ${key} in [images]`);
