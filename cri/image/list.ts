import type { Image, ListImagesRequest, ListImagesResponse } from '../../api/generated/types.ts';
import type { ImageRecord } from '../../images/index.ts';
import type { Runtime } from '../runtime.ts';
import { checkHandler } from '../runtime-handlers.ts';
import { imageUser } from '../spec/user.ts';

/** All images, or the one that the filter names. */
export const listImages = (runtime: Runtime, request: ListImagesRequest): ListImagesResponse => {
  const name = request.filter?.image?.image ?? '';
  checkHandler('ListImages', request.filter?.image?.runtime_handler ?? '');
  if (name === '') return { images: runtime.images.list().map(toWire) };
  const image = runtime.images.resolve(name);
  return { images: image === undefined ? [] : [toWire(image)] };
};

export const toWire = (image: ImageRecord): Image => ({
  id: image.id,
  repo_tags: image.repoTags,
  repo_digests: image.repoDigests,
  size: BigInt(image.size),
  ...userOf(image),
  spec: {
    image: image.id,
    annotations: image.annotations,
    user_specified_image: '',
    runtime_handler: '',
    image_ref: '',
  },
  pinned: image.pinned,
});

/** kubelet's runAsNonRoot wants either a number or a name, so an image without a user says 0. */
const userOf = (image: ImageRecord): Pick<Image, 'uid' | 'username'> => {
  const user = imageUser(image.config.User ?? '');
  return typeof user === 'number' ? { uid: { value: BigInt(user) }, username: '' } : { uid: undefined, username: user };
};
