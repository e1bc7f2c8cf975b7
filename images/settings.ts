import { type Pinning, pinning } from './pinned.ts';
import type { RemoteTools } from './pull/remote.ts';
import { RangeWindow } from './registry/ranges.ts';
import type { Transport } from './registry/transport.ts';
import type { ImageSettings, RegistrySettings } from './types.ts';
import { loadPolicies } from './verify/policies.ts';

/** What of the tools of a pull follows from the settings alone. A pull keeps those that it began with. */
export type SettingTools = Pick<
  RemoteTools,
  'keepBlobs' | 'layerLimit' | 'transport' | 'registry' | 'window' | 'policies'
> & { readonly isPinned: Pinning };

/** Reads the policy's files. Throws `invalid-argument` for what is wrong in them. */
export const toolsOf = async (
  registry: RegistrySettings,
  images: ImageSettings,
  transport: Transport,
): Promise<SettingTools> => ({
  keepBlobs: images.keepBlobs,
  layerLimit: images.layerLimit,
  transport,
  registry,
  window: registry.ranges && new RangeWindow(registry.ranges),
  policies: await loadPolicies(images.policy, images.policyDir),
  isPinned: pinning(images.pinned),
});
