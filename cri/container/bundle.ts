import type { ContainerConfig, LinuxContainerResources, LinuxContainerUser } from '../../api/generated/types.ts';
import { codeOf } from '../../base/errors.ts';
import { makeDirectory, makeOwnedDirectory, removeTree, writeVolatile } from '../../base/files.ts';
import type { Rollback } from '../../base/rollback.ts';
import type { ImageRecord } from '../../images/index.ts';
import { compilePlan } from '../../shim/compile.ts';
import { removeTreeByAgent } from '../../shim/tree.ts';
import { containerCgroup } from '../cgroup/container.ts';
import { countedBy } from '../cgroup/mode.ts';
import { cgroupParent } from '../cgroup/parent.ts';
import { type HostDevice, hostDevices } from '../host.ts';
import { containerPaths, type Runtime } from '../runtime.ts';
import { sandboxView } from '../sandbox/view.ts';
import { accountsLimit } from '../spec/accounts.ts';
import { type ContainerSpec, containerSpec, type RuntimeSettings } from '../spec/container.ts';
import { resourcesInForce } from '../spec/resources-update.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { filterOf, withProfiles } from './filter.ts';
import { targetPid } from './target.ts';

export interface Bundle {
  readonly user: LinuxContainerUser;
  readonly stopSignal: number;
  readonly cgroups: readonly string[];
  /** What is set at the start; undefined where the request has no resources. */
  readonly resources: LinuxContainerResources | undefined;
}

interface Input {
  readonly id: string;
  readonly sandbox: Sandbox;
  readonly config: ContainerConfig;
  readonly image: ImageRecord;
  readonly log: string;
}

/** The container's directories, its config.json and its compiled plan; the image's layers are held for it. */
export const makeBundle = async (runtime: Runtime, input: Input, rollback: Rollback): Promise<Bundle> => {
  const container = await withProfiles(runtime, await specOf(runtime, input));
  for (const notice of container.notices) runtime.log.warn({ container: input.id }, notice);
  const paths = containerPaths(runtime.config, input.id);
  const bpf = await filterOf(runtime, container.spec);
  rollback.add('image', () => runtime.images.release(input.id));
  const { lowers, root } = await runtime.images.mounts(input.image.id, input.id);
  rollback.add('layer', () => removeTreeByAgent(runtime.agent, [paths.layer]));
  rollback.add('bundle', () => removeTree(paths.bundle));
  await Promise.all([makeOwnedDirectory(paths.upper, root), makeDirectory(paths.work), makeDirectory(paths.bundle)]);
  const cgroup = containerCgroup(runtime.cgroups, container.spec.linux.cgroupsPath, container.spec.linux.resources);
  const plan = compilePlan({
    spec: container.spec,
    root: { lowers, upper: paths.upper, work: paths.work, volatile: true },
    ...(input.log === '' ? {} : { log: { path: input.log, directory: input.sandbox.config.log_directory } }),
    stdin: input.config.stdin,
    stdinOnce: input.config.stdin_once,
    cgroup,
    ...(bpf === undefined ? {} : { bpf }),
    features: runtime.agent.features,
  });
  await writeVolatile(paths.spec, JSON.stringify(container.spec));
  await writeVolatile(paths.plan, plan);
  const { user, stopSignal } = container;
  const resources = input.config.linux?.resources && inForce(runtime, container);
  return { user, stopSignal, resources, cgroups: cgroup.make.map(({ directory }) => directory) };
};

const inForce = (runtime: Runtime, { spec }: ContainerSpec): LinuxContainerResources =>
  resourcesInForce(spec.linux.resources, spec.process.oomScoreAdj, countedBy(runtime.cgroups));

const specOf = async (runtime: Runtime, input: Input): Promise<ContainerSpec> => {
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
    cgroupsPath: `${parentOf(runtime, input)}/${id}`,
    ...(target === undefined ? {} : { targetPid: target }),
  });
};

/** A limit that cannot be given is lowered to what can: the container would not start at all. */
const limitsOf = ({ config: { limits }, host }: Runtime): RuntimeSettings => {
  const nofileHard = Math.min(limits.nofile_hard, host.nofile);
  return { pids: limits.pids, nofileSoft: Math.min(limits.nofile_soft, nofileHard), nofileHard };
};

const parentOf = (runtime: Runtime, { sandbox }: Input): string =>
  cgroupParent(sandbox.config.linux?.cgroup_parent, runtime.config.cgroup.parent);

/** Storage nodes have thousands of disks, each under a dozen names. */
const mostInDev = 1_048_576;

const privilegedDevices = async (config: ContainerConfig): Promise<readonly HostDevice[]> =>
  config.linux?.security_context?.privileged ? hostDevices('/dev', mostInDev) : [];

const devicesOf = async (config: ContainerConfig): Promise<ReadonlyMap<string, readonly HostDevice[]>> =>
  new Map(
    await Promise.all(config.devices.map(async ({ host_path }) => [host_path, await foundAt(host_path)] as const)),
  );

/** What is not there or not readable is no device: the spec then names the request's field. */
const foundAt = (path: string): Promise<readonly HostDevice[]> =>
  hostDevices(path).catch((error: unknown) => {
    if (codeOf(error) === 'invalid-argument') throw error;
    return [];
  });
