import type { ImageStatusRequest, ImageStatusResponse } from '../../api/generated/types.ts';
import { invalid } from '../../base/errors.ts';
import { chainIds } from '../../images/image-config.ts';
import type { ImageRecord } from '../../images/index.ts';
import type { Runtime } from '../runtime.ts';
import { checkHandler } from '../runtime-handlers.ts';
import { toWire } from './list.ts';

/** An image that is not there is an answer without an image, not an error. From memory; only `verbose` reads the image's document. */
export const imageStatus = async (runtime: Runtime, request: ImageStatusRequest): Promise<ImageStatusResponse> => {
  const name = request.image?.image ?? '';
  if (name === '') throw invalid('ImageStatus: image is empty');
  checkHandler(runtime, 'ImageStatus', request.image?.runtime_handler ?? '');
  const image = runtime.images.resolve(name);
  if (image === undefined) return { image: undefined, info: {} };
  const info = request.verbose ? { info: JSON.stringify(await verboseInfo(runtime, image)) } : {};
  return { image: toWire(image), info };
};

/** The keys that scripts read from containerd's answer. A document that is lost is told as far as it is kept. */
const verboseInfo = async (runtime: Runtime, { id, config, layers, artifactType }: ImageRecord): Promise<object> => {
  if (artifactType !== undefined)
    return { chainID: '', artifactType, imageSpec: { config, rootfs: { type: 'layers', diff_ids: [] } } };
  const diffIds = layers.map(({ diffId }) => diffId);
  const kept = { config, rootfs: { type: 'layers', diff_ids: diffIds } };
  return { chainID: chainIds(diffIds).at(-1) ?? '', imageSpec: (await runtime.images.document(id)) ?? kept };
};
