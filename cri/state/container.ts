import type { ContainerConfig, LinuxContainerUser } from '../../api/generated/types.ts';
import type { Supervisor } from '../../shim/supervisor.ts';
import type { Stored } from './store.ts';

/**
 *     created ──► running ──► exited ──► (gone)
 *        └─► exited (the start failed)
 *
 * What the kernel knows better is not stored: a record that says `created` while the bundle's lock is held is a running
 * container (container/recover.ts). Times are nanoseconds since 1970, in decimal.
 */
export type ContainerState =
  | { readonly kind: 'created' }
  | { readonly kind: 'running'; readonly pid: number; readonly startedAt: string }
  | {
      readonly kind: 'exited';
      readonly startedAt: string;
      readonly finishedAt: string;
      readonly exitCode: number;
      readonly reason: string;
      readonly message: string;
    };

/** One JSON file a container. `config` is the ContainerConfig of the request, as protobuf writes it in JSON (`toJson` of api/codec.ts). */
export interface ContainerRecord extends Stored {
  readonly sandboxId: string;
  readonly createdAt: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** The image's id: the digest of its config. */
  readonly imageId: string;
  /** What its user called it, normalised, and a digest that it can be pulled by, else its id (image/names.ts). */
  readonly imageName: string;
  readonly imageRef: string;
  /** Absolute; empty when there is no log. */
  readonly logPath: string;
  readonly user: { readonly uid: number; readonly gid: number; readonly groups: readonly number[] };
  readonly stopSignal: number;
  /** LinuxContainerResources that are in force, as `toJson` writes them; missing where the request had none. */
  readonly resources?: Readonly<Record<string, unknown>>;
  /** The id of the last update of its limits that was done. */
  readonly updated?: string;
  /** All of them, for killing and removing when no supervisor is left to do it. */
  readonly cgroups: readonly string[];
  /** For each mount of `config` the id of the image that it shows, or ""; left out by older daemons. */
  readonly mountImages?: readonly string[];
  readonly state: ContainerState;
}

/** A container in memory. Only container/save.ts replaces `record`. */
export interface Container {
  readonly id: string;
  readonly key: string;
  readonly config: ContainerConfig;
  readonly user: LinuxContainerUser;
  record: ContainerRecord;
  /** While it runs. */
  supervisor: Supervisor | undefined;
  /** Resolves when the state is `exited`. */
  readonly exited: PromiseWithResolvers<void>;
}

export const containerKey = (sandboxId: string, config: ContainerConfig): string => {
  const { name = '', attempt = 0 } = config.metadata ?? {};
  return `${sandboxId}/${name}/${attempt}`;
};
