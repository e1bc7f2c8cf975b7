import { BerthError, invalid } from '../../base/errors.ts';
import type { OciProcess, OciSpec } from '../../shim/oci.ts';
import { processArgs, workingDirectory } from './args.ts';
import type { ContainerInput, ContainerSpec } from './container-input.ts';
import { containerDevices } from './devices.ts';
import { environment } from './environment.ts';
import { containerMounts, rootPropagation } from './mounts.ts';
import { validateAttempt, validateMap, validateName } from './names.ts';
import { containerNamespaces } from './namespaces.ts';
import { withPodGroups } from './pod-checks.ts';
import { containerResources, oomScoreAdj } from './resources.ts';
import {
  appArmorChoice,
  checkSelinux,
  containerCapabilities,
  hiddenPaths,
  isPrivileged,
  seccompChoice,
  selinuxLabels,
} from './security.ts';
import { stopSignal } from './signals.ts';
import type { ContainerConfig, SecurityContext } from './types.ts';
import { type ResolvedUser, resolveUser } from './user.ts';
import { checkMapped, mappedIds } from './user-namespace.ts';

export type { ContainerInput, ContainerSpec, HostFacts, RuntimeSettings, SandboxView } from './container-input.ts';

const checkServed = (config: ContainerConfig): void => {
  if (config.windows) throw new BerthError('unimplemented', 'windows: this is Linux');
  if (config.CDI_devices?.length)
    throw new BerthError('unimplemented', `CDI_devices: ${namesOf(config)}: not served by this version`);
  if (config.stdin_once && !config.stdin) throw invalid('stdin_once: without stdin');
};

const namesOf = ({ CDI_devices }: ContainerConfig): string =>
  (CDI_devices ?? []).map(({ name = '' }) => name).join(', ');

const statusUser = ({ uid, gid, groups }: ResolvedUser): ContainerSpec['user'] => ({
  uid: BigInt(uid),
  gid: BigInt(gid),
  supplemental_groups: groups.map(BigInt),
});

const ociProcess = (input: ContainerInput, user: ResolvedUser, privileged: boolean): OciProcess => {
  const { config, image, sandbox, runtime, host } = input;
  const context: SecurityContext = config.linux?.security_context ?? {};
  const score = oomScoreAdj(config.linux?.resources, host.lowestOomScoreAdj);
  const { selinuxLabel } = selinuxLabels(host.selinux, context, sandbox);
  return {
    terminal: config.tty ?? false,
    user: { uid: user.uid, gid: user.gid, additionalGids: user.groups },
    args: processArgs(config, image),
    env: environment(config, image, { hostname: sandbox.hostname, home: user.home }),
    cwd: workingDirectory(config, image),
    // Those of a user namespace are its own: what the daemon lacks it may have.
    capabilities: containerCapabilities(context, privileged, sandbox.namespaces.user ? undefined : host.capabilities),
    ...(selinuxLabel === undefined ? {} : { selinuxLabel }),
    rlimits: [{ type: 'RLIMIT_NOFILE', soft: runtime.nofileSoft, hard: runtime.nofileHard }],
    noNewPrivileges: context.no_new_privs ?? false,
    ...(score === undefined ? {} : { oomScoreAdj: score }),
  };
};

const ociLinux = (input: ContainerInput, privileged: boolean, mounts: OciSpec['mounts']): OciSpec['linux'] => {
  const { config, sandbox, host, runtime, targetPid } = input;
  const context: SecurityContext = config.linux?.security_context ?? {};
  const { mountLabel } = selinuxLabels(host.selinux, context, sandbox);
  const { devices, rules } = containerDevices(config.devices ?? [], {
    privileged,
    mapped: sandbox.namespaces.user !== undefined,
    hostDevices: host.devices,
    found: input.devices ?? new Map(),
    mounts,
  });
  return {
    namespaces: containerNamespaces({
      options: context.namespace_options,
      pod: sandbox.namespaces,
      paths: sandbox.paths,
      privileged,
      ...(targetPid === undefined ? {} : { targetPid }),
    }),
    ...mappedIds(sandbox.namespaces.user),
    devices,
    cgroupsPath: input.cgroupsPath,
    resources: containerResources(config.linux?.resources ?? {}, rules, { pids: runtime.pids, blockIO: input.blockIO }),
    maskedPaths: hiddenPaths(context.masked_paths, privileged, 'masked_paths'),
    ...(mountLabel === undefined ? {} : { mountLabel }),
    readonlyPaths: hiddenPaths(context.readonly_paths, privileged, 'readonly_paths'),
    rootfsPropagation: rootPropagation(mounts),
  };
};

/**
 * The OCI spec of a container, checked. The caller opens the seccomp profile that `seccomp` names, and checks that mount
 * sources are there. Errors: invalid-argument, failed-precondition or unimplemented, naming the CRI field.
 */
export const containerSpec = (input: ContainerInput): ContainerSpec => {
  const { config, image, sandbox } = input;
  const context: SecurityContext = config.linux?.security_context ?? {};
  checkServed(config);
  validateMap(config.labels, 'labels');
  validateMap(config.annotations, 'annotations');
  const privileged = isPrivileged(context, sandbox.config);
  const user = resolveUser(withPodGroups(context, sandbox.config), image.User ?? '', {
    passwd: input.passwd,
    group: input.group,
  });
  checkMapped(sandbox.namespaces.user, user);
  const readonly = context.readonly_rootfs ?? false;
  const mounts = containerMounts(config.mounts ?? [], {
    privileged,
    readonlyRoot: readonly,
    files: sandbox.files,
    recursiveReadOnly: input.host.recursiveReadOnly,
    ...input.mounts,
    hostNetwork: sandbox.namespaces.network === 'node',
    ...(sandbox.namespaces.user === undefined ? {} : { user: sandbox.namespaces.user }),
  });
  const spec: OciSpec = {
    ociVersion: '1.2.0',
    root: { path: 'rootfs', readonly },
    process: ociProcess(input, user, privileged),
    mounts,
    linux: ociLinux(input, privileged, mounts),
    annotations: criAnnotations(input),
  };
  return {
    metadata: {
      name: validateName(config.metadata?.name, 'metadata.name'),
      attempt: validateAttempt(config.metadata?.attempt),
    },
    spec,
    user: statusUser(user),
    stopSignal: stopSignal(config.stop_signal, image.StopSignal),
    seccomp: seccompChoice(context),
    appArmor: appArmorChoice(context, input.host),
    privileged,
    notices: checkSelinux(context.selinux_options, input.host),
  };
};

// The names that tools for the node look for in a bundle; nothing of the request's own annotations goes in (CVE-2023-6476).
const criAnnotations = ({ sandbox, config }: ContainerInput): OciSpec['annotations'] => ({
  'io.kubernetes.cri.container-type': 'container',
  'io.kubernetes.cri.container-name': config.metadata?.name ?? '',
  'io.kubernetes.cri.image-name': config.image?.user_specified_image || config.image?.image || '',
  'io.kubernetes.cri.sandbox-id': sandbox.id,
  'io.kubernetes.cri.sandbox-name': sandbox.config.metadata?.name ?? '',
  'io.kubernetes.cri.sandbox-namespace': sandbox.config.metadata?.namespace ?? '',
  'io.kubernetes.cri.sandbox-uid': sandbox.config.metadata?.uid ?? '',
});
