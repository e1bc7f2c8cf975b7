import { defaultRanges, type ImageSettings, type RegistrySettings } from '../images/index.ts';
import type { Config } from './config/index.ts';
import type { NetworkConfig } from './network/types.ts';

/** The configuration in the words of images/. */
export const imageOptions = ({
  registry,
  images,
}: Config): { readonly registry: RegistrySettings; readonly images: ImageSettings } => ({
  registry: {
    configPath: registry.config_path,
    plainHttp: registry.plain_http,
    stallSeconds: registry.stall_seconds,
    ranges: {
      ...defaultRanges,
      connections: registry.range_connections,
      windowBytes: registry.range_window,
    },
    credentials: {
      dockerConfig: registry.docker_config,
      providerConfig: registry.credential_provider_config,
      binDirs: registry.credential_bin_dirs,
    },
  },
  images: {
    keepBlobs: images.keep_blobs,
    parallelPulls: images.parallel_pulls,
    parallelLayers: images.parallel_layers,
    layerLimit: { bytes: images.max_layer_size, expansion: images.max_layer_expansion },
    pinned: images.pinned,
    policy: images.policy,
    policyDir: images.policy_dir,
  },
});

/** The same in the words of network/. */
export const networkConfig = ({ network }: Config): NetworkConfig => ({
  confDir: network.conf_dir,
  binDirs: network.bin_dirs,
  embeddedSubnet: network.embedded_subnet,
  embeddedBridge: network.embedded_bridge,
  confTemplate: network.conf_template,
});
