import { invalid } from '../base/errors.ts';
import { addDev, addDevLinks } from './compile-dev.ts';
import { addUserNs, joinUser } from './compile-mapped.ts';
import { addMounts, type CgroupSource, hasOwnDev, openSources } from './compile-mounts.ts';
import { addCredentials, addExec, addLabels, addRlimits } from './compile-process.ts';
import type { KernelFeatures } from './features.ts';
import { cString } from './frames.ts';
import { CloneFlag, propagations, seccompFlags } from './linux.ts';
import type { OciNamespace, OciSpec } from './oci.ts';
import { addCgroup, type CgroupParts, Plan } from './plan.ts';
import { ExecFlag } from './protocol.ts';
import { sysctlPath } from './sandbox.ts';
import { type UserNamespace, userNamespaceOf } from './user-namespace.ts';

/** All that a container's plan is made of. Paths are the host's and absolute. */
export interface BundleInput {
  readonly spec: OciSpec;
  readonly root: {
    /** Topmost first. */
    readonly lowers: readonly string[];
    readonly upper: string;
    readonly work: string;
    /** Never synced: only for what starts once. */
    readonly volatile: boolean;
  };
  /** The file is opened below the directory, made when missing. `exact`: a last line without its newline is marked P and not F. */
  readonly log?: { readonly path: string; readonly directory: string; readonly exact?: boolean };
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly cgroup: CgroupParts & {
    /** v1 `tasks` files. */
    readonly join: readonly string[];
    /** v2 directory. */
    readonly into?: string;
    /** v2: where the host has it. */
    readonly mount?: string;
  };
  readonly bpf?: Uint8Array;
  /** The process waits for `go` before anything is mounted: who has its pid meanwhile may make the cgroup (`limitsPlan`). */
  readonly wait?: boolean;
  /** The inode of the pid namespace that is joined by the path of a process; another's is refused. */
  readonly pidNamespace?: bigint;
  readonly features: KernelFeatures;
}

/**
 * The plan of a container (native/protocol.h), in the order of house.md, "The order of a start". Pure.
 * Errors: `invalid-argument` for what the spec asks and the native side does not know.
 */
export const compilePlan = (input: BundleInput): Buffer => {
  const plan = new Plan();
  const user = userNamespaceOf(input.spec);
  addSupervisor(plan, input, user);
  addOutside(plan, input, user);
  addInside(plan, input, user);
  if (user === undefined) addRlimits(plan, input.spec.process);
  addCredentials(plan, input.spec.process);
  if (input.bpf !== undefined) plan.add('SECCOMP', seccompMask(input.spec), input.bpf);
  addExec(plan, input.spec.process);
  return plan.encode();
};

const namespaceOf = (spec: OciSpec, type: OciNamespace['type']): OciNamespace | undefined =>
  spec.linux.namespaces.find((namespace) => namespace.type === type);

type User = UserNamespace | undefined;

const addSupervisor = (plan: Plan, input: BundleInput, user: User): void => {
  const { spec, cgroup, log, stdin, stdinOnce, wait, features } = input;
  addCgroup(plan, cgroup);
  if (log !== undefined)
    plan.add('LOG', cString(log.path, 'log path'), cString(log.directory, 'log directory'), ...(log.exact ? [1] : []));
  const streams = ExecFlag.STDOUT | ExecFlag.STDERR;
  const terminal = spec.process.terminal ? ExecFlag.TTY : 0;
  plan.add('STDIO', streams | terminal | (stdin ? ExecFlag.STDIN : 0), stdinOnce ? 1 : 0);
  const pid = namespaceOf(spec, 'pid');
  // In a user namespace its owner makes it.
  if (pid !== undefined && (pid.path !== undefined || user !== undefined)) plan.add('SET_PID_NS', pid.path ?? '');
  if (input.pidNamespace !== undefined) plan.add('PID_NS_INODE', input.pidNamespace);
  const flags = pid !== undefined && pid.path === undefined && user === undefined ? CloneFlag.pid : 0;
  plan.add('CLONE', flags, features.cloneIntoCgroup ? (cgroup.into ?? '') : '');
  if (wait) plan.add('WAIT');
};

/** In the host's mount namespace: cgroup, the other namespaces, the root and what is bound into it. */
const addOutside = (plan: Plan, { spec, root, cgroup, features }: BundleInput, user: User): void => {
  for (const file of cgroup.join) plan.add('CGROUP_JOIN', file);
  if (cgroup.into !== undefined && !features.cloneIntoCgroup) plan.add('CGROUP_JOIN', `${cgroup.into}/cgroup.procs`);
  if (spec.process.oomScoreAdj !== undefined) plan.add('OOM_SCORE', String(spec.process.oomScoreAdj));
  addLabels(plan, spec.process);
  addNamespaces(plan, spec, user);
  addUserNs(plan, user);
  if (root.lowers.length === 0) throw invalid('root: no layers');
  if (spec.linux.mountLabel !== undefined) plan.add('MOUNT_LABEL', cString(spec.linux.mountLabel, 'mount label'));
  plan.add('OVERLAY', root.volatile ? 1 : 0, overlayMethod(features), root.upper, root.work, ...root.lowers);
};

const overlayMethod = ({ lowerdirPlus, overlayNewApi }: KernelFeatures): 0 | 1 =>
  lowerdirPlus && overlayNewApi ? 0 : 1;

const addNamespaces = (plan: Plan, spec: OciSpec, user: User): void => {
  let unshared = 0;
  for (const { type, path } of spec.linux.namespaces) {
    if (type === 'pid' || type === 'mount' || type === 'user') continue;
    if (path === undefined) unshared |= CloneFlag[type];
    else plan.add('JOIN_NS', CloneFlag[type], cString(path, `${type} namespace`));
  }
  if (unshared !== 0 && user === undefined) plan.add('UNSHARE', unshared);
};

const addInside = (plan: Plan, { spec, cgroup, features }: BundleInput, user: User): void => {
  const { mounts, linux, process, root, hostname } = spec;
  const binds = openSources(plan, mounts, cgroupSource(spec, cgroup), overlayMethod(features), user);
  const sources = user === undefined ? binds : joinUser(plan, spec, user, binds, () => addRlimits(plan, process));
  plan.add('ENTER_ROOT', propagations[linux.rootfsPropagation ?? ''] ?? 0);
  addMounts(plan, mounts, sources, linux.mountLabel);
  if (hasOwnDev(mounts)) (user === undefined ? addDev : addDevLinks)(plan, linux.devices);
  for (const path of linux.maskedPaths) plan.add('MASK', cString(path, 'masked path'));
  for (const path of linux.readonlyPaths) plan.add('READ_ONLY_PATH', cString(path, 'read-only path'));
  const uts = namespaceOf(spec, 'uts');
  if (hostname !== undefined && uts !== undefined && uts.path === undefined)
    plan.add('SYSCTL', 'kernel/hostname', cString(hostname, 'hostname'));
  for (const [name, value] of Object.entries(linux.sysctl ?? {}))
    plan.add('SYSCTL', sysctlPath(name), cString(value, `sysctl ${name}`));
  // After the masks, or the directory that a mask hides stays open as the working directory; before the root is read-only, as it is made.
  plan.add('CWD', cString(process.cwd, 'cwd'), 1);
  if (root.readonly) plan.add('ROOT_READ_ONLY');
  if (process.terminal) plan.add('TERMINAL', 0, 0);
};

/**
 * v1: the mount point is what stands before the container's path in each of its directories. v2 without a cgroup namespace: the
 * host's mount, as a new one would set the options of the host's to its own (nsdelegate, memory_recursiveprot).
 */
const cgroupSource = (spec: OciSpec, { make, mount }: BundleInput['cgroup']): CgroupSource => {
  if (mount !== undefined && namespaceOf(spec, 'cgroup') === undefined) return mount;
  const { cgroupsPath } = spec.linux;
  return make
    .filter(({ directory, version }) => version === 1 && directory.endsWith(cgroupsPath))
    .map(({ directory }) => ({ directory, mountPoint: directory.slice(0, directory.length - cgroupsPath.length) }));
};

export const seccompMask = (spec: OciSpec): number =>
  (spec.linux.seccomp?.flags ?? []).reduce((mask, name) => {
    const flag = seccompFlags[name];
    if (flag === undefined) throw invalid(`seccomp: flag ${name} is not known`);
    return mask | flag;
  }, 0);
