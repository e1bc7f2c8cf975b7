import { BerthError } from '../../base/errors.ts';
import type { LayerLimit } from '../types.ts';

/** So much may come out of however few bytes: files of zeros are common, and compress a thousand times. */
const free = 1 << 30;

const suspicious = (compressed: number, { expansion }: LayerLimit): number =>
  Math.min(Number.MAX_SAFE_INTEGER, Math.max(free, Math.floor(compressed * expansion)));

/**
 * What a layer of `compressed` bytes may become: gzip makes a thousand bytes of one, zstd thirty thousand, and the disk is
 * everybody's.
 */
export const mostBytes = (compressed: number, limit: LayerLimit): number =>
  Math.min(limit.bytes, suspicious(compressed, limit));

/** The error for a layer that becomes more: resource-exhausted that names the key to raise. */
export const tooLarge = (what: string, compressed: number, limit: LayerLimit): BerthError => {
  const most = suspicious(compressed, limit);
  return limit.bytes <= most
    ? exhausted(`${what}: unpacks to more than ${limit.bytes} bytes`, 'max_layer_size')
    : exhausted(
        `${what}: ${compressed} bytes unpack to more than ${most}, like a decompression bomb`,
        'max_layer_expansion',
      );
};

const expansions = new WeakSet<object>();

/** Whether it is an error of `tooLarge`: the layer's doing, where a full disk is the machine's. */
export const isExpansion = (error: unknown): boolean =>
  typeof error === 'object' && error !== null && expansions.has(error);

const exhausted = (message: string, key: string): BerthError => {
  const text = `${message}; if the image is to be trusted, raise ${key} in [images]`;
  const error = new BerthError('resource-exhausted', text);
  expansions.add(error);
  return error;
};
