import { realpath } from 'node:fs/promises';
import type { ContainerConfig } from '../../api/generated/types.ts';
import { orMissing } from '../../base/errors.ts';
import { type Runtime, sandboxPaths } from '../runtime.ts';
import { checkRelabel, relabel } from '../security/selinux-relabel.ts';
import type { Sandbox } from '../state/sandbox.ts';

/**
 * The label for what the container may use of its pod and, where the request says so (Mount.selinux_relabel), of the node.
 * Without one there is nothing to do: labels are off, or the kernel has none.
 */
export const relabelMounts = async (
  runtime: Runtime,
  sandbox: Sandbox,
  config: ContainerConfig,
  label: string | undefined,
): Promise<void> => {
  if (label === undefined) return;
  const asked = config.mounts.filter(({ selinux_relabel, host_path }) => selinux_relabel && host_path !== '');
  // What a link leads to is what is mounted.
  const paths = await Promise.all(asked.map(({ host_path }) => realpath(host_path)));
  for (const path of paths) checkRelabel(path);
  const { hostname, hosts, resolvConf, shm } = sandboxPaths(runtime.config, sandbox.id);
  const own = await Promise.all([hostname, hosts, resolvConf, shm].map((path) => orMissing(realpath(path))));
  await relabel(runtime.agent, label, [...own.filter((path) => path !== undefined), ...paths]);
};
