import type { ImageStatusRequest, ImageStatusResponse } from '../../api/generated/types.ts';
import { invalid } from '../../base/errors.ts';
import { chainIds } from '../../images/image-config.ts';
import type { ImageRecord } from '../../images/index.ts';
import type { Runtime } from '../runtime.ts';
import { toWire } from './list.ts';

/** An image that is not there is an answer without an image, not an error. */
export const imageStatus = (runtime: Runtime, request: ImageStatusRequest): ImageStatusResponse => {
  const name = request.image?.image ?? '';
  if (name === '') throw invalid('ImageStatus: image is empty');
  const image = runtime.images.resolve(name);
  if (image === undefined) return { image: undefined, info: {} };
  return { image: toWire(image), info: request.verbose ? { info: JSON.stringify(verboseInfo(image)) } : {} };
};

/** The keys that scripts read from containerd's answer. */
const verboseInfo = ({ config, layers }: ImageRecord): object => {
  const diffIds = layers.map(({ diffId }) => diffId);
  return {
    chainID: chainIds(diffIds).at(-1) ?? '',
    imageSpec: { config, rootfs: { type: 'layers', diff_ids: diffIds } },
  };
};
