import type { DiskImage, Input, PruneProgress, PruneRequest } from '../../api/generated/types.ts';
import type { ImageDisk } from '../../images/disk.ts';
import type { Runtime } from '../runtime.ts';

type Message = Input<PruneProgress>;

/** Removes the images that no container uses, and deletes what was removed before; a dry run only tells of them. */
export async function* adminPrune(
  runtime: Runtime,
  { dry_run, garbage_only, older_than_seconds }: PruneRequest,
  { signal }: { readonly signal: AbortSignal },
): AsyncGenerator<Message> {
  const before = Date.now() - Number(older_than_seconds) * 1000;
  const { images, bytes } = await runtime.images.prunable(garbage_only ? 0 : before);
  const total_bytes = BigInt(bytes);
  if (dry_run) {
    for (const image of images) yield { image: toDiskImage(image), total_bytes };
    return yield { total_bytes, done: true };
  }
  let last: Message = { total_bytes };
  for await (const { image, freed } of runtime.images.prune({ garbageOnly: garbage_only, before, signal })) {
    last = { freed_bytes: BigInt(freed.bytes), freed_inodes: BigInt(freed.inodes), total_bytes };
    yield image === undefined ? last : { ...last, image: toDiskImage(image) };
  }
  yield { ...last, done: true };
}

export const toDiskImage = (image: ImageDisk): Input<DiskImage> => ({
  id: image.id,
  names: [...image.names],
  pinned: image.pinned,
  unique_bytes: BigInt(image.uniqueBytes),
  shared_bytes: BigInt(image.sharedBytes),
  inodes: BigInt(image.inodes),
  containers: [...image.containers],
});
