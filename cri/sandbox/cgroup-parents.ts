import { readdir, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { messageOf, orMissing } from '../../base/errors.ts';
import { removeEmptyDirectories } from '../../base/files.ts';
import { ancestors, cgroupParent } from '../cgroup/parent.ts';
import { cgroupDirectories } from '../container/cgroup.ts';
import { type Runtime, sandboxPaths } from '../runtime.ts';
import type { Sandbox } from '../state/sandbox.ts';

/**
 * The directories between the root of each hierarchy and a pod's containers that are Berth's to remove: those that are
 * missing before the pod's first container makes them, and those that another pod has made before. The outermost first.
 */
export const parentsToMake = async (runtime: Runtime, requested: string | undefined): Promise<readonly string[]> => {
  const parent = cgroupParent(requested, runtime.driver);
  const directories = [...ancestors(parent), parent].flatMap((path) => cgroupDirectories(runtime.cgroups, path));
  const before = madeByPods(runtime);
  const missing = await Promise.all(
    directories.map(async (directory) => (await orMissing(stat(directory))) === undefined),
  );
  // Asked again: a pod may have come, and made one, while the disk was read.
  const after = madeByPods(runtime);
  return directories.filter((directory, index) => missing[index] || before.has(directory) || after.has(directory));
};

const madeByPods = (runtime: Runtime): ReadonlySet<string> =>
  new Set([...runtime.sandboxes.values().flatMap(({ record }) => record.cgroupParents), ...leaving]);

/**
 * Removes those that no other pod of Berth's uses, when they are empty. A pod that comes later finds them missing, so that what
 * its containers write into new parents (v1's cpusets) is not read from old ones. After a restart of the machine nothing of what
 * the record names is the pod's: then its state directory has gone as well.
 */
export const removeParents = async (runtime: Runtime, sandbox: Sandbox): Promise<void> => {
  const { id } = sandbox;
  const { directory } = sandboxPaths(runtime.config, id);
  if (sandbox.record.cgroupParents.length === 0 || (await orMissing(stat(directory))) === undefined) return;
  await removeUnused(runtime, sandbox).catch((error: unknown) =>
    runtime.log.warn({ sandbox: id, error: messageOf(error) }, 'parents of a removed pod’s cgroups stay'),
  );
};

const isSlice = (path: string): boolean => path.endsWith('.slice');

/** A slice is systemd's: it stops it, which removes its directory. One that holds anything is somebody's. */
const removeUnused = async (runtime: Runtime, sandbox: Sandbox): Promise<void> => {
  let slices: readonly string[] = [];
  await removeEmptyDirectories('cgroup parents', () => {
    const unused = giveUp(runtime, sandbox);
    slices = unused.filter(isSlice);
    for (const path of slices) leaving.add(path);
    return unused.filter((path) => !isSlice(path));
  });
  try {
    // Looked for behind the disk: the container of a pod that came meanwhile would be stopped with the slice.
    for (const path of slices)
      if ((await isEmpty(path)) && !isUsed(runtime, path)) await runtime.driver.systemd.stopUnit(basename(path));
  } finally {
    for (const path of slices) leaving.delete(path);
  }
};

/** A pod that comes while its slice is being stopped has to remove it in its turn. */
const leaving = new Set<string>();

const isUsed = (runtime: Runtime, path: string): boolean =>
  runtime.sandboxes.values().some(({ record }) => record.cgroupParents.includes(path));

const isEmpty = async (path: string): Promise<boolean> => {
  const entries = await orMissing(readdir(path, { withFileTypes: true }));
  return entries !== undefined && !entries.some((entry) => entry.isDirectory());
};

/** In memory alone: of two pods that go at once the second must not wait for the first. The record on disk goes with the pod. */
const giveUp = (runtime: Runtime, sandbox: Sandbox): readonly string[] => {
  const { record } = sandbox;
  sandbox.record = { ...record, cgroupParents: [] };
  const used = madeByPods(runtime);
  return record.cgroupParents.filter((path) => !used.has(path)).toReversed();
};
