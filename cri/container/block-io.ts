import type { OciBlockIo } from '../../shim/oci.ts';
import { type HostDevice, hostDevices } from '../host.ts';
import type { Runtime } from '../runtime.ts';
import { type BlockIoNames, blockIo, blockIoTexts, devicePaths } from '../spec/block-io.ts';
import type { StringMap } from '../spec/types.ts';

export const blockIoNames = ({ config: { cgroup } }: Pick<Runtime, 'config'>): BlockIoNames => ({
  weight: cgroup.io_weight_annotation,
  max: cgroup.io_max_annotation,
});

const blockDevice = async (path: string): Promise<readonly (readonly [string, HostDevice])[]> => {
  const [device] = await hostDevices(path).catch(() => []);
  return device?.path === path && device.type === 'b' ? [[path, device]] : [];
};

/** What the annotations say that the configuration names; undefined for nothing. Errors: invalid-argument. */
export const blockIoOf = async (
  runtime: Pick<Runtime, 'config'>,
  ...maps: readonly (StringMap | undefined)[]
): Promise<OciBlockIo | undefined> => {
  const names = blockIoNames(runtime);
  const texts = blockIoTexts(names, ...maps);
  const found = await Promise.all(devicePaths(texts).map(blockDevice));
  return blockIo(names, texts, new Map(found.flat()));
};
