import { type Runtime, sandboxPaths } from '../runtime.ts';
import type { SandboxView } from '../spec/container.ts';
import { sandboxSpec } from '../spec/sandbox.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { namespacePins } from './build.ts';

/** What a container's spec needs of its pod. */
export const sandboxView = (runtime: Runtime, sandbox: Sandbox): SandboxView => {
  const spec = sandboxSpec(sandbox.config, runtime.host);
  const { hostname, hosts, resolvConf, shm } = sandboxPaths(runtime.config, sandbox.id);
  const pins = namespacePins(runtime, sandbox, spec);
  return {
    id: sandbox.id,
    config: sandbox.config,
    hostname: spec.hostname,
    selinuxLevel: sandbox.record.selinuxLevel ?? '',
    namespaces: spec.namespaces,
    paths: {
      ...(pins.user === undefined ? {} : { user: pins.user.path }),
      ...(pins.net === undefined ? {} : { network: pins.net }),
      ...(pins.ipc === undefined ? {} : { ipc: pins.ipc }),
      ...(pins.uts === undefined ? {} : { uts: pins.uts }),
      ...(pins.pid === undefined ? {} : { pid: pins.pid }),
    },
    files: { hostname, hosts, resolvConf, shm: spec.namespaces.ipc === 'pod' ? shm : '/dev/shm' },
  };
};
