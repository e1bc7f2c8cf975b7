import { type Encoded, encodeItem, joinItems, pagesOf } from '../../api/encoded.ts';
import type { Image, ImageFilter, ListImagesRequest, StreamImagesRequest } from '../../api/generated/types.ts';
import type { ImageRecord } from '../../images/index.ts';
import type { Runtime } from '../runtime.ts';
import { checkHandler } from '../runtime-handlers.ts';
import { imageUser } from '../spec/user.ts';

/** All images, or the one that the filter names. */
export const listImages = (runtime: Runtime, request: ListImagesRequest): Encoded => {
  const items = itemsFor(runtime, 'ListImages', request.filter);
  const bytes = items.reduce((sum, { length }) => sum + length, 0);
  if (bytes <= mostBytes) return joinItems(items);
  return joinItems(itemsFor(runtime, 'ListImages', request.filter, (image) => ({ ...image, annotations: {} })));
};

/** The kubelet takes no answer above 16 MiB: what images say of themselves is left out then. StreamImages has it. */
const mostBytes = 15 << 20;

/** The same in pages: those that there are at the time of the call. */
export const streamImages = (runtime: Runtime, request: StreamImagesRequest): AsyncIterable<Encoded> =>
  pagesOf(itemsFor(runtime, 'StreamImages', request.filter));

const itemsFor = (
  runtime: Runtime,
  rpc: string,
  filter: ImageFilter | undefined,
  shown = (image: ImageRecord): ImageRecord => image,
): readonly Uint8Array[] => {
  const name = filter?.image?.image ?? '';
  checkHandler(runtime, rpc, filter?.image?.runtime_handler ?? '');
  const one = name === '' ? undefined : runtime.images.resolve(name);
  const found = name === '' ? runtime.images.list() : one === undefined ? [] : [one];
  return found.map((image) => encodeItem('ListImagesResponse', 'images', toWire(shown(image))));
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
