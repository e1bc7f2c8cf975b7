import type { ContainerConfig } from '../../api/generated/types.ts';
import { codeOf, invalid, messageOf, orMissing } from '../../base/errors.ts';
import type { Rollback } from '../../base/rollback.ts';
import { cgroupParent } from '../cgroup/parent.ts';
import { cgroupsPathOf } from '../cgroup/place.ts';
import { type HostDevice, hostDevices } from '../host.ts';
import type { Runtime } from '../runtime.ts';
import { sandboxView } from '../sandbox/view.ts';
import { accountsLimit } from '../spec/accounts.ts';
import { type ContainerSpec, containerSpec, type RuntimeSettings } from '../spec/container.ts';
import type { MountOptions } from '../spec/mounts.ts';
import { blockIoOf } from './block-io.ts';
import type { BundleRequest } from './bundle.ts';
import { resolveSources } from './sources.ts';
import { targetPid } from './target.ts';
import type { Volumes } from './volumes.ts';

type Input = BundleRequest & { readonly volumes: Volumes };

/** The container's OCI spec, from the request and what the machine has of what it names. */
export const specOf = async (runtime: Runtime, input: Input, rollback: Rollback): Promise<ContainerSpec> => {
  const { id, sandbox, config, image } = input;
  const read = (path: string): Promise<Buffer | undefined> => runtime.images.readFile(image.id, path, accountsLimit);
  const [passwd, group] = await Promise.all([read('/etc/passwd'), read('/etc/group')]);
  const target = targetPid(runtime, sandbox, config);
  return containerSpec({
    id,
    sandbox: sandboxView(runtime, sandbox),
    config,
    image: image.config,
    passwd,
    group,
    runtime: limitsOf(runtime),
    host: {
      ...runtime.host,
      recursiveReadOnly: runtime.agent.features.recursiveReadOnly,
      devices: await privilegedDevices(config),
    },
    devices: await devicesOf(config),
    mounts: await mountsOf(runtime, input, rollback),
    blockIO: await blockIoOf(runtime, config.annotations, sandbox.config.annotations),
    cgroupsPath: cgroupsPathOf(parentOf(runtime, input), id),
    ...(target === undefined ? {} : { targetPid: target }),
  });
};

const mountsOf = async (
  runtime: Runtime,
  { config, volumes }: Input,
  rollback: Rollback,
): Promise<Pick<MountOptions, 'sources' | 'images' | 'volumes'>> => ({
  sources: await resolveSources(runtime, config.mounts, rollback),
  images: new Map(
    volumes.images.map(({ mount, image, head }) => [mount, [head, ...runtime.images.layersOf(image.id).lowers]]),
  ),
  volumes: volumes.own,
});

/** A limit that cannot be given is lowered to what can: the container would not start at all. */
const limitsOf = ({ config: { limits }, host }: Runtime): RuntimeSettings => {
  const nofileHard = Math.min(limits.nofile_hard, host.nofile);
  return { pids: limits.pids, nofileSoft: Math.min(limits.nofile_soft, nofileHard), nofileHard };
};

const parentOf = (runtime: Runtime, { sandbox }: Input): string =>
  cgroupParent(sandbox.config.linux?.cgroup_parent, runtime.driver);

/** Storage nodes have thousands of disks, each under a dozen names. */
const mostInDev = 1_048_576;

const privilegedDevices = async (config: ContainerConfig): Promise<readonly HostDevice[]> =>
  config.linux?.security_context?.privileged ? hostDevices('/dev', mostInDev) : [];

const devicesOf = async (config: ContainerConfig): Promise<ReadonlyMap<string, readonly HostDevice[]>> => {
  const paths = [...new Set(config.devices.map(({ host_path }) => host_path))];
  const all = await Promise.all(paths.map(async (path) => [path, await foundAt(path)] as const));
  return new Map(all.filter((one): one is readonly [string, readonly HostDevice[]] => one[1] !== undefined));
};

/** Undefined when nothing is there: the spec then names the request's field. */
const foundAt = (path: string): Promise<readonly HostDevice[] | undefined> =>
  orMissing(hostDevices(path)).catch((error: unknown) => {
    throw codeOf(error) === 'invalid-argument' ? error : invalid(`device ${path}: host_path: ${messageOf(error)}`);
  });
