import type { RemoveImageRequest } from '../../api/generated/types.ts';
import { invalid } from '../../base/errors.ts';
import type { Runtime } from '../runtime.ts';
import { checkHandler } from '../runtime-handlers.ts';

/** Removes the image under all of its names, and answers when its room is free. Idempotent. */
export const removeImage = async (runtime: Runtime, request: RemoveImageRequest): Promise<object> => {
  const name = request.image?.image ?? '';
  if (name === '') throw invalid('RemoveImage: image is empty');
  checkHandler(runtime, 'RemoveImage', request.image?.runtime_handler ?? '');
  await runtime.images.remove(name);
  await runtime.images.deleted();
  return {};
};
