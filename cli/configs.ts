import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { ContainerConfig, Input, PodSandboxConfig } from '../api/generated/types.ts';

/** Marks what a person made here, so that `berth rm` knows whose log directory it may remove. */
export const madeByLabel = 'berth.made-by';
export const podNamespace = 'berth';

/** What the kubelet asks to be hidden and protected where a pod does not say "unmasked" (the request's lists are the whole). */
const maskedPaths = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/devices/system/cpu/cpu0/thermal_throttle',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
];
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

export interface PodWish {
  readonly name: string;
  readonly logRoot: string;
  readonly cgroupParent?: string;
}

export type PodRequest = Input<PodSandboxConfig> & { readonly log_directory: string };

/** A pod with a network, an ipc namespace and a log directory of its own. */
export const podConfig = ({ name, logRoot: logs, cgroupParent = '' }: PodWish): PodRequest => {
  const uid = randomUUID();
  return {
    metadata: { name, uid, namespace: podNamespace, attempt: 0 },
    hostname:
      name
        .slice(0, 63)
        .replace(/[^a-z0-9-]/gi, '-')
        .replace(/^-+|-+$/g, '') || 'berth',
    log_directory: join(logs, `${name}_${uid}`),
    labels: { [madeByLabel]: 'berth' },
    linux: {
      cgroup_parent: cgroupParent,
      security_context: {
        namespace_options: { network: 'POD', pid: 'CONTAINER', ipc: 'POD' },
        seccomp: { profile_type: 'RuntimeDefault' },
      },
    },
  };
};

export interface ContainerWish {
  readonly name: string;
  /** An image's id or name. */
  readonly image: string;
  /** What lists show for it. */
  readonly imageName: string;
  /** In place of the image's own command; its entrypoint stays. */
  readonly args: readonly string[];
  readonly env?: readonly string[];
}

export const containerConfig = ({ name, image, imageName, args, env = [] }: ContainerWish): Input<ContainerConfig> => ({
  metadata: { name, attempt: 0 },
  image: { image, user_specified_image: imageName },
  args: [...args],
  envs: env.map((entry) => {
    const at = entry.indexOf('=');
    return { key: entry.slice(0, at), value: Buffer.from(entry.slice(at + 1)) };
  }),
  log_path: `${name}.log`,
  labels: { [madeByLabel]: 'berth' },
  linux: {
    security_context: {
      namespace_options: { network: 'POD', pid: 'CONTAINER', ipc: 'POD' },
      seccomp: { profile_type: 'RuntimeDefault' },
      masked_paths: maskedPaths,
      readonly_paths: readonlyPaths,
    },
  },
});
