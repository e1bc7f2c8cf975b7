import type { Input, ListMetricDescriptorsResponse } from '../../api/generated/types.ts';
import { commonLabels, families } from './metrics/families.ts';

/** Every metric that ListPodSandboxMetrics may have; which of them a node has, its kernel decides. */
export const listMetricDescriptors = (): Input<ListMetricDescriptorsResponse> => ({
  descriptors: families.map(({ name, help, labels }) => ({ name, help, label_keys: [...commonLabels, ...labels] })),
});
