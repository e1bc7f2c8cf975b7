import { release } from 'node:os';
import type { InfoResponse } from '../../api/generated/types.ts';
import { now, type Runtime } from '../runtime.ts';
import { version } from '../version.ts';

const startedAt = now();

/** What happens on kernels that lack a feature. */
const fallbacks: Readonly<Record<string, string>> = {
  'lowerdir-plus': 'layers by mount(2) with short paths, fewer of them',
  'overlay-new-api': 'overlay by mount(2)',
  'cgroup-kill': 'signals to each process of a frozen cgroup',
  'clone-into-cgroup': 'the process joins its cgroups itself',
  'recursive-read-only': 'recursive read-only mounts are refused',
  'idmapped-overlay-lower': 'user namespaces are refused',
  'memfd-exec': 'supervisors run from the installed program',
};

export const adminInfo = (runtime: Runtime): InfoResponse => ({
  version,
  api_version: 'berth.v1',
  root: runtime.config.root,
  state: runtime.config.state,
  kernel: release(),
  cgroup_version: runtime.cgroups.version,
  features: featuresOf(runtime),
  started_at: startedAt,
  pods: runtime.sandboxes.size,
  containers: runtime.containers.size,
  images: runtime.images.list().length,
  pid: process.pid,
  network: networkInWords(runtime),
  metrics: runtime.config.metrics.address,
  stuck: [...runtime.stuck.list()],
});

const featuresOf = (runtime: Runtime): InfoResponse['features'] =>
  Object.entries(runtime.agent.features).map(([name, present]) => {
    const dashed = name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    return { name: dashed, present, fallback: fallbacks[dashed] ?? '' };
  });

const networkInWords = (runtime: Runtime): string => {
  const { ready, source, message } = runtime.network.status();
  return ready ? source : `not ready: ${message}`;
};
