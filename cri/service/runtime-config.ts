import type { RuntimeConfigResponse } from '../../api/generated/types.ts';

/** kubelet reads the cgroup driver from here; cgroupfs is the one that is served. */
export const runtimeConfig = (): RuntimeConfigResponse => ({ linux: { cgroup_driver: 'CGROUPFS' } });
