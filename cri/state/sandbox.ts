import type { PodSandboxConfig } from '../../api/generated/types.ts';
import type { Stored } from './store.ts';

/**
 *     creating ──► ready ──► stopping ──► stopped ──► (gone)
 *        └─► (undone: gone)
 *
 * `creating` and `stopping` are intents: a daemon that finds them at its start undoes the first and ends the second.
 */
export type SandboxState = 'creating' | 'ready' | 'stopping' | 'stopped';

/** One JSON file a sandbox. `config` is the PodSandboxConfig of the request, as protobuf writes it in JSON (`toJson` of api/codec.ts). */
export interface SandboxRecord extends Stored {
  readonly createdAt: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly runtimeHandler: string;
  readonly state: SandboxState;
  /** Where its network namespace is pinned; empty for the host's. */
  readonly netns: string;
  /** As CNI answered, the first is the pod's own. */
  readonly ips: readonly string[];
  /** Directories above its containers' cgroups that Berth makes and so removes, the outermost first. */
  readonly cgroupParents: readonly string[];
  /** Its own SELinux level (`s0:c12,c345`), where labels are on. */
  readonly selinuxLevel?: string;
  /** LinuxContainerResources of the last UpdatePodSandboxResources, as `toJson` writes them; missing before one. */
  readonly overhead?: Readonly<Record<string, unknown>>;
  readonly resources?: Readonly<Record<string, unknown>>;
}

/** A sandbox in memory. Only `setState` (sandbox/save.ts) replaces `record`. */
export interface Sandbox {
  readonly id: string;
  readonly key: string;
  readonly config: PodSandboxConfig;
  record: SandboxRecord;
}

export const sandboxKey = (config: PodSandboxConfig): string => `${podKey(config)}/${config.metadata?.attempt ?? 0}`;

/** The same for all attempts at one pod. */
export const podKey = ({ metadata }: PodSandboxConfig): string => {
  const { namespace = '', name = '', uid = '' } = metadata ?? {};
  return `${namespace}/${name}/${uid}`;
};
