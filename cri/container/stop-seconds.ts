import type { ContainerConfig } from '../../api/generated/types.ts';
import type { Runtime } from '../runtime.ts';

/** Kubernetes' own default (terminationGracePeriodSeconds). */
const defaultSeconds = 30;
const mostSeconds = 86_400;

/**
 * What systemd leaves a container between its stop signal and SIGKILL, at a shutdown of the machine or when somebody stops its scope:
 * what the annotation says that the configuration names. What is no number counts as none.
 */
export const stopSeconds = (
  { config: { cgroup } }: Pick<Runtime, 'config'>,
  { annotations }: Pick<ContainerConfig, 'annotations'>,
): number => {
  const text = annotations[cgroup.grace_period_annotation] ?? '';
  return /^\d{1,9}$/.test(text) ? Math.min(Number(text), mostSeconds) : defaultSeconds;
};
