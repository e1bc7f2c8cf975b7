import type { ContainerConfig, LinuxContainerResources, LinuxContainerUser } from '../../api/generated/types.ts';
import { makeDirectory, makeOwnedDirectory, removeTree, writeVolatile } from '../../base/files.ts';
import type { Rollback } from '../../base/rollback.ts';
import type { ImageMounts, ImageRecord } from '../../images/index.ts';
import { compilePlan } from '../../shim/compile.ts';
import type { OciSpec } from '../../shim/oci.ts';
import { removeTreeByAgent } from '../../shim/tree.ts';
import { hostId, userNamespaceOf } from '../../shim/user-namespace.ts';
import { containerCgroup } from '../cgroup/container.ts';
import { countedBy } from '../cgroup/mode.ts';
import { placeOf } from '../cgroup/place.ts';
import { containerPaths, type Runtime } from '../runtime.ts';
import type { ContainerSpec } from '../spec/container.ts';
import { resourcesInForce } from '../spec/resources-update.ts';
import type { Sandbox } from '../state/sandbox.ts';
import { filterOf, withProfiles } from './filter.ts';
import { logOf } from './log.ts';
import { relabelMounts } from './relabel.ts';
import { specOf } from './spec-of.ts';
import { targetInode } from './target.ts';
import { findVolumes, makeVolumes, type Volumes } from './volumes.ts';

export interface Bundle {
  readonly user: LinuxContainerUser;
  readonly stopSignal: number;
  readonly cgroups: readonly string[];
  /** What is set at the start; undefined where the request has no resources. */
  readonly resources: LinuxContainerResources | undefined;
  /** For each mount of the request the id of the image that it shows, or "". */
  readonly mountImages: readonly string[];
}

export interface BundleRequest {
  readonly id: string;
  readonly sandbox: Sandbox;
  readonly config: ContainerConfig;
  readonly image: ImageRecord;
  readonly log: string;
}

/** The container's directories, its config.json and its compiled plan; the image's layers are held for it. */
export const makeBundle = async (runtime: Runtime, input: BundleRequest, rollback: Rollback): Promise<Bundle> => {
  const volumes = await findVolumes(runtime, input);
  const container = await withProfiles(runtime, await specOf(runtime, { ...input, volumes }, rollback));
  for (const notice of container.notices) runtime.log.warn({ container: input.id }, notice);
  await relabelMounts(runtime, input.sandbox, input.config, container.spec.linux.mountLabel);
  const paths = containerPaths(runtime.config, input.id);
  const bpf = await filterOf(runtime, container.spec);
  rollback.add('image', () => runtime.images.release(input.id));
  const shown = volumes.images.map(({ image }) => image.id);
  const { lowers, root } = await runtime.images.mounts(input.image.id, input.id, shown);
  rollback.add('layer', () => removeTreeByAgent(runtime.agent, [paths.layer]));
  rollback.add('bundle', () => removeTree(paths.bundle));
  await Promise.all([
    makeOwnedDirectory(paths.upper, mappedRoot(container.spec, root)),
    makeDirectory(paths.work),
    makeDirectory(paths.bundle),
  ]);
  await makeVolumes(runtime, input, volumes);
  const cgroup = containerCgroup(runtime.cgroups, container.spec.linux.cgroupsPath, container.spec.linux.resources);
  const isScope = placeOf(container.spec.linux.cgroupsPath).units !== undefined;
  const plan = compilePlan({
    spec: container.spec,
    root: { lowers, upper: paths.upper, work: paths.work, volatile: true },
    ...(input.log === '' ? {} : { log: logOf(runtime, input) }),
    stdin: input.config.stdin,
    stdinOnce: input.config.stdin_once,
    // A scope is made when there is a process to put into it (enter-scope.ts).
    ...(isScope
      ? { cgroup: { make: [], writes: [], join: [], ...(cgroup.mount && { mount: cgroup.mount }) }, wait: true }
      : { cgroup }),
    ...(await targetInode(runtime, input.sandbox, input.config)),
    ...(bpf === undefined ? {} : { bpf }),
    features: runtime.agent.features,
  });
  await writeVolatile(paths.spec, JSON.stringify(container.spec));
  await writeVolatile(paths.plan, plan);
  const { user, stopSignal } = container;
  return {
    user,
    stopSignal,
    resources: input.config.linux?.resources && inForce(runtime, container),
    cgroups: cgroup.make.map(({ directory }) => directory),
    mountImages: idsOf(input, volumes),
  };
};

const inForce = (runtime: Runtime, { spec }: ContainerSpec): LinuxContainerResources =>
  resourcesInForce(spec.linux.resources, spec.process.oomScoreAdj, countedBy(runtime.cgroups));

const idsOf = ({ config }: BundleRequest, { images }: Volumes): readonly string[] =>
  config.mounts.map((mount) => images.find((volume) => volume.mount === mount)?.image.id ?? '');

/** What the image says of its root, as the container is to see it. */
const mappedRoot = (spec: OciSpec, root: ImageMounts['root']): ImageMounts['root'] => {
  const user = userNamespaceOf(spec);
  if (user === undefined) return root;
  return { ...root, uid: hostId(user.uids, root.uid), gid: hostId(user.gids, root.gid) };
};
