import type { UntagRequest, UntagResponse } from '../../api/generated/types.ts';
import { invalid } from '../../base/errors.ts';
import type { Runtime } from '../runtime.ts';

/** One name of an image less, or by id the whole image. */
export const adminUntag = async (runtime: Runtime, request: UntagRequest): Promise<UntagResponse> => {
  if (request.image === '') throw invalid('Untag: image is empty');
  const { names, image, isGone } = await runtime.images.untag(request.image);
  return { names: [...names], image_id: image.id, removed: isGone };
};
