import { join } from 'node:path';
import type { Mount } from '../../api/generated/types.ts';
import { notFound, within } from '../../base/errors.ts';
import { makeDirectory, makeOwnedDirectory, removeTree } from '../../base/files.ts';
import type { ImageRecord } from '../../images/index.ts';
import { containerPaths, type Runtime } from '../runtime.ts';
import { checkHandler } from '../runtime-handlers.ts';
import { checkImageMount, isImageMount, type Volume, volumePaths } from '../spec/image-mounts.ts';
import type { BundleRequest } from './bundle.ts';

/** A mount of the request that shows an image. */
export interface ImageVolume {
  readonly mount: Mount;
  readonly image: ImageRecord;
  /** An empty directory above the layers: the root has its owner and mode, and overlayfs wants two. */
  readonly head: string;
}

/** What a container has beside its root file system and the host's directories. */
export interface Volumes {
  readonly images: readonly ImageVolume[];
  /** One directory each VOLUME of its own image. */
  readonly own: readonly Volume[];
}

/** What the request and the image ask for. Nothing is made yet. Errors: `not-found` when an image or a sub path is not there. */
export const findVolumes = async (
  runtime: Runtime,
  { id, sandbox, config: { mounts }, image }: BundleRequest,
): Promise<Volumes> => {
  const namespace = sandbox.config.metadata?.namespace ?? '';
  const { volumes } = containerPaths(runtime.config, id);
  const images = mounts
    .filter((mount) => isImageMount(mount))
    .map((mount, i) => ({ mount, image: imageOf(runtime, mount, namespace), head: join(volumes, `image-${i}`) }));
  await Promise.all(images.map((volume) => checkDirectory(runtime, volume)));
  const own = volumePaths(image.config, mounts).map((path, i) => ({ path, source: join(volumes, `own-${i}`) }));
  return { images, own };
};

const imageOf = (runtime: Runtime, mount: Mount, namespace: string): ImageRecord => {
  const what = checkImageMount(mount);
  const { image = '', runtime_handler = '', user_specified_image = '' } = mount.image ?? {};
  checkHandler(runtime, what, runtime_handler);
  const found = runtime.images.resolve(image);
  if (found === undefined) throw notFound(`${what}: image ${image} is not here: pull it first`);
  runtime.images.checkAllowed(found, namespace, user_specified_image);
  return found;
};

const checkDirectory = async (runtime: Runtime, { mount, image }: ImageVolume): Promise<void> => {
  const path = mount.image_sub_path;
  if (path === '' || (await runtime.images.hasDirectory(image.id, path))) return;
  const what = checkImageMount(mount);
  throw notFound(`${what}: image_sub_path ${JSON.stringify(path)}: image ${image.id} has no such directory`);
};

/** Makes their directories, below the container's layer; each VOLUME gets what its image has there (as containerd does). */
export const makeVolumes = async (runtime: Runtime, input: { id: string; image: ImageRecord }, volumes: Volumes) => {
  const { images, own } = volumes;
  if (images.length + own.length === 0) return;
  const paths = containerPaths(runtime.config, input.id);
  await makeDirectory(paths.volumes);
  const plain = { mode: 0o755, uid: 0, gid: 0 };
  await Promise.all([
    ...images.map(({ head, image }) => makeOwnedDirectory(head, runtime.images.layersOf(image.id).root)),
    ...own.map(({ source }) => makeOwnedDirectory(source, plain)),
  ]);
  if (own.length > 0) await copyContent(runtime, input.image, own, join(paths.volumes, 'links'));
};

const copyContent = async (runtime: Runtime, image: ImageRecord, own: readonly Volume[], links: string) => {
  await makeDirectory(links);
  const copies = own.map(({ path, source }) => ({ path, to: source }));
  await runtime.images.copyOut(image.id, copies, links).catch((error: unknown) => {
    throw within('VOLUME of the image', error);
  });
  await removeTree(links);
};
