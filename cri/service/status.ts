import type { RuntimeCondition, StatusRequest, StatusResponse } from '../../api/generated/types.ts';
import { podInterface } from '../network/types.ts';
import type { Runtime } from '../runtime.ts';
import { handlersOf } from '../runtime-handlers.ts';

/** From memory alone. Features are told only when they are served. */
export const statusOfRuntime = (runtime: Runtime, request: StatusRequest): StatusResponse => {
  const { recursiveReadOnly, idmappedOverlayLower } = runtime.agent.features;
  return {
    status: { conditions: [runtimeReady(runtime), networkReady(runtime)] },
    info: request.verbose ? verboseInfo(runtime) : {},
    runtime_handlers: handlersOf(runtime).map((name) => ({
      name,
      features: { recursive_read_only_mounts: recursiveReadOnly, user_namespaces: idmappedOverlayLower },
    })),
    features: {
      supplemental_groups_policy: true,
      user_namespaces_host_network: idmappedOverlayLower,
      mount_options: true,
    },
  };
};

const runtimeReady = (runtime: Runtime): RuntimeCondition => {
  const problem = runtime.agent.problem();
  return {
    type: 'RuntimeReady',
    status: problem === undefined,
    reason: problem === undefined ? '' : 'SpawnAgentNotReady',
    message: problem ?? '',
  };
};

const networkReady = (runtime: Runtime): RuntimeCondition => {
  const { ready, reason, message } = runtime.network.status();
  return { type: 'NetworkReady', status: ready, reason, message };
};

/** `config`, `cniconfig` and `lastCNILoadStatus` are the keys that scripts read from containerd's answer. */
const verboseInfo = (runtime: Runtime): Record<string, string> => {
  const { source, ready, message } = runtime.network.status();
  const { features } = runtime.agent;
  const { version: cgroupVersion } = runtime.cgroups;
  return {
    config: JSON.stringify(runtime.config),
    network: JSON.stringify({ source }),
    kernel: JSON.stringify({ cgroupVersion, features }),
    cniconfig: JSON.stringify(cniConfig(runtime)),
    lastCNILoadStatus: JSON.stringify(ready ? 'OK' : message),
  };
};

/** As go-cni writes it. */
const cniConfig = ({ config, network }: Runtime): object => {
  const list = network.configuration();
  const { bin_dirs, conf_dir } = config.network;
  const Networks = list === undefined ? [] : [{ IFName: podInterface, Config: cniNetwork(list) }];
  return { PluginDirs: bin_dirs, PluginConfDir: conf_dir, Networks };
};

const cniNetwork = (list: object): object => ({
  Name: 'name' in list ? list.name : '',
  CNIVersion: 'cniVersion' in list ? list.cniVersion : '',
  Source: JSON.stringify(list),
});
