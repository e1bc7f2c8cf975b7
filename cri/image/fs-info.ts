import type { FilesystemUsage, ImageFsInfoResponse } from '../../api/generated/types.ts';
import { now, type Runtime } from '../runtime.ts';

/** What the images take. Containers' writable layers have no file system of their own: CRI's second list is empty then. */
export const imageFsInfo = async (runtime: Runtime): Promise<ImageFsInfoResponse> => {
  const { bytes, inodes, mountpoint } = await runtime.images.usage();
  const usage: FilesystemUsage = {
    timestamp: now(),
    fs_id: { mountpoint },
    used_bytes: { value: BigInt(bytes) },
    inodes_used: { value: BigInt(inodes) },
  };
  return { image_filesystems: [usage], container_filesystems: [] };
};
