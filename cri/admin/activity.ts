import { type Encoded, encodeItem, joinAll } from '../../api/encoded.ts';
import type { ContainerActivity, Input } from '../../api/generated/types.ts';
import { resourcesOf } from '../container/status.ts';
import { now, type Runtime } from '../runtime.ts';
import type { Container } from '../state/container.ts';
import { readBlockBytes } from '../stats/activity.ts';
import { containerCgroup } from '../stats/cpu-sampler.ts';
import { inSlices } from '../stats/in-slices.ts';
import { bytesOfAll, type DisksBelow, disksBelow } from '../stats/stacked.ts';

/** Of the containers that run. */
export const adminActivity = async (runtime: Runtime): Promise<Encoded> => {
  const running = runtime.containers.values().filter(({ record }) => record.state.kind === 'running');
  const below = disksBelow();
  return joinAll(
    inSlices(running, (container) =>
      encodeItem('ActivityResponse', 'containers', activityOf(runtime, container, below)),
    ),
  );
};

const activityOf = (
  { cgroups, cgroupReader }: Runtime,
  container: Container,
  below: DisksBelow,
): Input<ContainerActivity> => {
  const path = containerCgroup(cgroups, container);
  const devices = path === undefined ? [] : readBlockBytes(cgroups, path);
  const { readBytes, writtenBytes } = bytesOfAll(devices, below);
  const { cpu_quota: quota = 0n, cpu_period: period = 0n } = resourcesOf(container) ?? {};
  return {
    container_id: container.id,
    timestamp: now(),
    read_bytes: readBytes,
    written_bytes: writtenBytes,
    threads: (path === undefined ? undefined : cgroupReader.processes(path)) ?? 0n,
    cpu_limit_nano_cores: quota > 0n ? (quota * 1_000_000_000n) / (period || 100_000n) : 0n,
  };
};
