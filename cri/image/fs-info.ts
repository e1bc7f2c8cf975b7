import type { ImageFsInfoResponse, Input } from '../../api/generated/types.ts';
import { now, type Runtime } from '../runtime.ts';

/** What images take, and what containers have written. kubelet collects garbage by each where the mount points differ. */
export const imageFsInfo = async (runtime: Runtime): Promise<Input<ImageFsInfoResponse>> => {
  const { bytes, inodes, mountpoint } = await runtime.images.usage();
  const { containersDisk } = runtime;
  const written = containersDisk.usage();
  return {
    image_filesystems: [
      {
        timestamp: now(),
        fs_id: { mountpoint },
        used_bytes: { value: BigInt(bytes) },
        inodes_used: { value: BigInt(inodes) },
      },
    ],
    container_filesystems: [
      {
        timestamp: written.at,
        fs_id: { mountpoint: containersDisk.mountpoint },
        used_bytes: { value: BigInt(written.bytes) },
        inodes_used: { value: BigInt(written.inodes) },
      },
    ],
  };
};
