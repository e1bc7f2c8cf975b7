import type { PodSandboxConfig } from '../api/generated/types.ts';
import { now, type Runtime } from './runtime.ts';
import { podKey } from './state/sandbox.ts';

/**
 * When something of a pod is made, as kubelet is told: nanoseconds since 1970, later than all that the pod has. It takes the latest
 * sandbox, and the latest container of a name, for the one that counts. Were that one from before a clock was set back (a machine that
 * boots without the time), it would see an ended one, and make the pod anew for ever.
 */
export const birthIn = (
  { sandboxes, containers }: Pick<Runtime, 'sandboxes' | 'containers'>,
  pod: PodSandboxConfig,
): string => {
  const key = podKey(pod);
  const pods = sandboxes.values().filter(({ config }) => podKey(config) === key);
  const ids = new Set(pods.map(({ id }) => id));
  const inPods = containers.values().filter(({ record }) => ids.has(record.sandboxId));
  const times = [...pods, ...inPods].map(({ record }) => BigInt(record.createdAt));
  return String(times.reduce((latest, time) => (time < latest ? latest : time + 1n), now()));
};
