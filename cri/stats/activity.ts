import { type CgroupMode, hierarchyOf } from '../cgroup/mode.ts';
import { readKernelFile } from './kernel-file.ts';
import { type BlockIo, parseV1BlockIo, parseV2BlockIo } from './metrics/block-io.ts';

const fileOf = (mode: CgroupMode, path: string, controller: string, name: string): string => {
  const { mount } = mode.unified ?? hierarchyOf(mode, controller) ?? {};
  return (mount !== undefined && readKernelFile(`${mount}${path}/${name}`)) || '';
};

/** Of a cgroup with all below it; `path` is below each hierarchy's mount. Only bytes, no operations. */
export const readBlockBytes = (mode: CgroupMode, path: string): readonly BlockIo[] =>
  mode.unified === undefined
    ? parseV1BlockIo(fileOf(mode, path, 'blkio', 'blkio.throttle.io_service_bytes_recursive'), '')
    : parseV2BlockIo(fileOf(mode, path, 'io', 'io.stat'));
