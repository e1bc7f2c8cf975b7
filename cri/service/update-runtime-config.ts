import type { UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse } from '../../api/generated/types.ts';
import { within } from '../../base/errors.ts';
import type { Runtime } from '../runtime.ts';

/** kubelet tells the node's pod CIDR at its start and when it changes; empty while the cluster has given none. */
export const updateRuntimeConfig = async (
  { network }: Pick<Runtime, 'network'>,
  request: UpdateRuntimeConfigRequest,
  { signal }: { readonly signal: AbortSignal },
): Promise<UpdateRuntimeConfigResponse> => {
  const cidr = request.runtime_config?.network_config?.pod_cidr ?? '';
  if (cidr.trim() === '') return {};
  try {
    await network.updatePodCidr(cidr, signal);
    return {};
  } catch (error) {
    throw within('UpdateRuntimeConfig', error);
  }
};
