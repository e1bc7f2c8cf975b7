import type { OciBlockIo, OciSpec } from '../../shim/oci.ts';
import type { AppArmorChoice } from '../security/apparmor.ts';
import type { SelinuxHost } from '../security/selinux.ts';
import type { SandboxFiles } from './default-mounts.ts';
import type { HostDevice } from './devices.ts';
import type { MountOptions } from './mounts.ts';
import type { NamespacePaths, SandboxNamespaces } from './namespaces.ts';
import type { SeccompChoice } from './security.ts';
import type { ContainerConfig, ImageConfig, PodSandboxConfig } from './types.ts';

/** What a container's spec needs to know of its pod. */
export interface SandboxView {
  readonly id: string;
  readonly config: PodSandboxConfig;
  readonly hostname: string;
  readonly namespaces: SandboxNamespaces;
  readonly paths: NamespacePaths;
  readonly files: SandboxFiles;
  /** The categories that part it from other pods; empty where it has none. */
  readonly selinuxLevel: string;
}

export interface RuntimeSettings {
  /** `pids` of the configuration; 0 for no limit. */
  readonly pids: number;
  readonly nofileSoft: number;
  readonly nofileHard: number;
}

/** Facts of the machine, read once by the caller. */
export interface HostFacts {
  readonly appArmor: boolean;
  readonly selinux: SelinuxHost;
  /** The kernel can make a whole tree of mounts read-only. */
  readonly recursiveReadOnly: boolean;
  /** Mask of the capabilities that the daemon has in its bounding set. */
  readonly capabilities?: bigint;
  /** The lowest oom_score_adj that can be given; undefined for any. */
  readonly lowestOomScoreAdj?: number;
  /** All devices below /dev, for privileged containers. */
  readonly devices: readonly HostDevice[];
}

export interface ContainerInput {
  readonly id: string;
  readonly sandbox: SandboxView;
  readonly config: ContainerConfig;
  readonly image: ImageConfig;
  /** The image's /etc/passwd and /etc/group. */
  readonly passwd?: Uint8Array | undefined;
  readonly group?: Uint8Array | undefined;
  readonly runtime: RuntimeSettings;
  readonly host: HostFacts;
  /** What is at each host_path of the request's devices. */
  readonly devices?: ReadonlyMap<string, readonly HostDevice[]>;
  /** As in MountOptions. */
  readonly mounts?: Pick<MountOptions, 'sources' | 'images' | 'volumes'>;
  /** What annotations that the configuration names say. */
  readonly blockIO?: OciBlockIo | undefined;
  /** /proc/PID/ns/pid of the container that namespace_options.target_id names. */
  readonly targetPid?: string;
  /** As cgroup/place.ts makes it. */
  readonly cgroupsPath: string;
}

export interface ContainerSpec {
  readonly metadata: { readonly name: string; readonly attempt: number };
  readonly spec: OciSpec;
  /** ContainerStatus.user.linux. */
  readonly user: { readonly uid: bigint; readonly gid: bigint; readonly supplemental_groups: readonly bigint[] };
  readonly stopSignal: number;
  readonly seccomp: SeccompChoice;
  readonly appArmor: AppArmorChoice;
  readonly privileged: boolean;
  /** For the log: what is asked for and has no effect here. */
  readonly notices: readonly string[];
}
