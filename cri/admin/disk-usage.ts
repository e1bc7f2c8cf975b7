import type { Dirent } from 'node:fs';
import { lstat, readdir, statfs } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { DiskContainer, DiskFileSystem, DiskShare, DiskUsageResponse, Input } from '../../api/generated/types.ts';
import { orMissing } from '../../base/errors.ts';
import type { DiskShare as Share } from '../../images/disk.ts';
import { treeSize } from '../../images/layers/size.ts';
import { SELF } from '../../shim/program.ts';
import { eachOf } from '../network/parallel.ts';
import { containerPaths, type Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import { toDiskImage } from './prune.ts';

/** What takes the disk, with its owner. Somebody waits for it, so containers are walked now. */
export const adminDiskUsage = async (
  runtime: Runtime,
  _: unknown,
  { signal }: { readonly signal: AbortSignal },
): Promise<Input<DiskUsageResponse>> => {
  const [images, measured, removed, prunable, file_systems] = await Promise.all([
    runtime.images.disk(signal),
    measureAll(runtime, signal),
    measureRemoved(runtime, signal),
    runtime.images.prunable(Date.now()),
    fileSystems(runtime),
  ]);
  const sum = (kind: DiskShare['kind'], of: (one: Measured) => Size): Input<DiskShare> => {
    const all = measured.map(of).filter(({ bytes, inodes }) => bytes + inodes > 0);
    const total = all.reduce((a, b) => ({ bytes: a.bytes + b.bytes, inodes: a.inodes + b.inodes }), {
      bytes: 0,
      inodes: 0,
    });
    return share(kind, { count: all.length, ...total });
  };
  return {
    shares: [
      share('SHARED_LAYERS', images.sharedLayers),
      share('UNIQUE_LAYERS', images.uniqueLayers),
      share('BLOBS', images.blobs),
      share('PARTIAL', images.partial),
      sum('WRITABLE', ({ writable }) => writable),
      sum('VOLUMES', ({ volumes }) => volumes),
      sum('LOGS', ({ logs }) => logs),
      share('REMOVED', removed),
      share('GARBAGE', images.garbage),
    ],
    reclaimable: BigInt(prunable.bytes),
    images: images.images.map(toDiskImage),
    containers: measured.map(({ row }) => row),
    file_systems,
  };
};

interface Size {
  readonly bytes: number;
  readonly inodes: number;
}

interface Measured {
  readonly row: Input<DiskContainer>;
  readonly writable: Size;
  readonly volumes: Size;
  readonly logs: Size;
}

const share = (kind: DiskShare['kind'], { count, bytes, inodes }: Share): Input<DiskShare> => ({
  kind,
  count: BigInt(count),
  bytes: BigInt(bytes),
  inodes: BigInt(inodes),
});

const atOnce = 4;

const measureAll = async (runtime: Runtime, signal: AbortSignal): Promise<readonly Measured[]> => {
  const all: Measured[] = [];
  const one = async (container: Container): Promise<void> => void all.push(await measure(runtime, container, signal));
  await eachOf(runtime.containers.values(), atOnce, one);
  return all;
};

/** What is left of each; one whose directories go under the walk counts as nothing more. */
const measureRemoved = async ({ removedLayers, agent }: Runtime, signal: AbortSignal): Promise<Share> => {
  const total = { count: 0, bytes: 0, inodes: 0 };
  for (const path of removedLayers.behind) {
    const size = await treeSize({ helper: agent, program: SELF }, path, signal).catch(() => ({ bytes: 0, inodes: 0 }));
    signal.throwIfAborted();
    total.count += 1;
    total.bytes += size.bytes;
    total.inodes += size.inodes;
  }
  return total;
};

const measure = async (runtime: Runtime, container: Container, signal: AbortSignal): Promise<Measured> => {
  const { upper, work, volumes: directory } = containerPaths(runtime.config, container.id);
  const tools = { helper: runtime.agent, program: SELF };
  const sizes = await Promise.all([upper, work, directory].map((path) => treeSize(tools, path, signal)));
  const [top, own, volumes] = [0, 1, 2].map((at) => sizes[at] ?? { bytes: 0, inodes: 0 }) as [Size, Size, Size];
  const writable = { bytes: top.bytes + own.bytes, inodes: top.inodes + own.inodes };
  const logs = await logSize(container.record.logPath);
  const { name = '', namespace = '' } = runtime.sandboxes.find(container.record.sandboxId)?.config.metadata ?? {};
  const row = {
    id: container.id,
    name: container.config.metadata?.name ?? '',
    pod: name,
    namespace,
    image_id: container.record.imageId,
    writable_bytes: BigInt(writable.bytes),
    volume_bytes: BigInt(volumes.bytes),
    log_bytes: BigInt(logs.bytes),
    inodes: BigInt(writable.inodes + volumes.inodes),
  };
  return { row, writable, volumes, logs };
};

/** The log, and what the kubelet has rotated away of it: the same name with a time behind it. */
const logSize = async (path: string): Promise<Size> => {
  if (path === '') return { bytes: 0, inodes: 0 };
  const entries: Dirent[] = (await orMissing(readdir(dirname(path), { withFileTypes: true }))) ?? [];
  const own = entries.filter((entry) => entry.isFile() && isOfLog(entry.name, basename(path)));
  const infos = await Promise.all(own.map(({ name }) => orMissing(lstat(join(dirname(path), name)))));
  return { bytes: infos.reduce((sum, info) => sum + (info?.blocks ?? 0) * 512, 0), inodes: own.length };
};

const isOfLog = (name: string, log: string): boolean => name === log || name.startsWith(`${log}.`);

const fileSystems = async ({ config, containersDisk }: Runtime): Promise<Input<DiskFileSystem>[]> => {
  const images = join(config.root, 'images');
  if (!containersDisk.isApart) return [await fileSystem(images, ['images', 'containers'])];
  return Promise.all([fileSystem(images, ['images']), fileSystem(containersDisk.directory, ['containers'])]);
};

const fileSystem = async (path: string, uses: readonly string[]): Promise<Input<DiskFileSystem>> => {
  const { bsize, blocks, bfree, bavail, files, ffree } = await statfs(path, { bigint: true });
  return {
    path,
    capacity_bytes: blocks * bsize,
    free_bytes: bfree * bsize,
    available_bytes: bavail * bsize,
    inodes: files,
    free_inodes: ffree,
    uses: [...uses],
  };
};
