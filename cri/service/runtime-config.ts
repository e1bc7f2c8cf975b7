import type { RuntimeConfigResponse } from '../../api/generated/types.ts';
import type { Runtime } from '../runtime.ts';

/** kubelet takes its own cgroup driver from here (KubeletCgroupDriverFromCRI). */
export const runtimeConfig = ({ driver: { driver } }: Pick<Runtime, 'driver'>): RuntimeConfigResponse => ({
  linux: { cgroup_driver: driver === 'systemd' ? 'SYSTEMD' : 'CGROUPFS' },
});
