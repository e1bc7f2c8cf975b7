import { join } from 'node:path';
import { isId } from '../../base/digest.ts';
import { messageOf } from '../../base/errors.ts';
import { namesIn, readJson, removeTree } from '../../base/files.ts';
import type { OciSpec } from '../../shim/oci.ts';
import { removeNamespaces } from '../../shim/sandbox.ts';
import { containerDirectories } from '../container/cgroup.ts';
import { endScope } from '../container/end-scope.ts';
import { containerPaths, type Runtime, sandboxPaths } from '../runtime.ts';

/**
 * Removes directories and leases that belong to no record: a create ended before its record was written (lesson A3). `left`:
 * sandboxes and containers of a later berthd.
 */
export const removeStrays = async (
  runtime: Runtime,
  sandboxIds: ReadonlySet<string>,
  left: ReadonlySet<string>,
): Promise<void> => {
  const { root, state } = runtime.config;
  const isStray = (id: string): boolean => isId(id) && !left.has(id) && runtime.containers.find(id) === undefined;
  const [bundles, layers, sandboxes] = await Promise.all([
    namesIn(join(state, 'containers')),
    namesIn(join(root, 'containers')),
    namesIn(join(state, 'sandboxes')),
  ]);
  await Promise.all(bundles.filter(isStray).map((id) => removeBundle(runtime, id)));
  const strayLayers = layers.filter(isStray).map((id) => containerPaths(runtime.config, id).layer);
  // What cannot be deleted keeps no daemon from serving.
  await runtime.removedLayers.removeBehind(strayLayers);
  await Promise.all(
    runtime.images
      .leases()
      .filter(isStray)
      .map((id) => runtime.images.release(id)),
  );
  const straySandboxes = sandboxes.filter((id) => isId(id) && !sandboxIds.has(id) && !left.has(id));
  await Promise.all(straySandboxes.map((id) => removeSandboxDirectory(runtime, id)));
  collectNetworks(runtime, left);
};

/** A plugin that hangs may take minutes: nobody waits for it. */
const collectNetworks = (runtime: Runtime, left: ReadonlySet<string>): void => {
  runtime.network
    .collect([...runtime.sandboxes.values().map(({ id }) => id), ...left])
    .catch((error: unknown) => runtime.log.warn({ error: messageOf(error) }, 'collecting network attachments failed'));
};

const removeBundle = async (runtime: Runtime, id: string): Promise<void> => {
  const { bundle, lock, spec } = containerPaths(runtime.config, id);
  await runtime.agent.endHolder(lock, 0);
  const linux = ((await readJson(spec)) as OciSpec | undefined)?.linux;
  if (linux !== undefined) await endScope(runtime, containerDirectories(runtime.cgroups, linux.cgroupsPath));
  await removeTree(bundle);
};

const removeSandboxDirectory = async (runtime: Runtime, id: string): Promise<void> => {
  const { directory, user, ipc, uts, pid, shm } = sandboxPaths(runtime.config, id);
  await removeNamespaces(runtime.agent, { user: { path: user }, ipc, uts, pid, shm: { path: shm, size: 0 } });
  await removeTree(directory);
};
