import { dirname, isAbsolute } from 'node:path';
import type { Client } from '../api/client.ts';
import type { ContainerStatus, PodSandbox } from '../api/generated/types.ts';
import { BerthError } from '../base/errors.ts';
import { removeTree } from '../base/files.ts';
import { madeByLabel } from './configs.ts';

export const statusOf = async (client: Client, containerId: string): Promise<ContainerStatus> => {
  const { status } = await client.ContainerStatus({ container_id: containerId });
  if (status === undefined) throw new BerthError('internal', `container ${containerId}: the daemon gave no status`);
  return status;
};

/** Where its log is, or an error in plain words. */
export const logPathOf = (status: ContainerStatus): string => {
  if (status.log_path === '')
    throw new BerthError('failed-precondition', `container ${status.metadata?.name} has no log file`);
  return status.log_path;
};

/** Ends its containers within `seconds` each, then its network. */
export const stopPod = async (client: Client, podId: string, seconds: number): Promise<void> => {
  const { containers } = await client.ListContainers({ filter: { pod_sandbox_id: podId } });
  await Promise.all(containers.map(({ id }) => client.StopContainer({ container_id: id, timeout: seconds })));
  await client.StopPodSandbox({ pod_sandbox_id: podId });
};

/** Removes the pod, and its log directory when `berth run` made it. */
export const removePod = async (client: Client, pod: Pick<PodSandbox, 'id' | 'labels'>): Promise<void> => {
  const logs = pod.labels[madeByLabel] === 'berth' ? await logDirectoryOf(client, pod.id) : undefined;
  await client.StopPodSandbox({ pod_sandbox_id: pod.id });
  await client.RemovePodSandbox({ pod_sandbox_id: pod.id });
  if (logs !== undefined) await removeTree(logs);
};

/** `berth run` names it after the pod's uid; another directory is not ours to remove. */
const logDirectoryOf = async (client: Client, podId: string): Promise<string | undefined> => {
  const [{ containers }, { status }] = await Promise.all([
    client.ListContainers({ filter: { pod_sandbox_id: podId } }),
    client.PodSandboxStatus({ pod_sandbox_id: podId }),
  ]);
  const { name, uid } = status?.metadata ?? { name: '', uid: '' };
  for (const { id } of containers) {
    const directory = dirname((await statusOf(client, id)).log_path);
    if (isAbsolute(directory) && uid !== '' && directory.endsWith(`/${name}_${uid}`)) return directory;
  }
  return undefined;
};
