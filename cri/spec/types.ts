// The CRI messages that a spec is made from. Everything may be left out, so that a test or a client names what matters;
// a decoded message fits.
import type * as wire from '../../api/generated/types.ts';

export type ContainerConfig = wire.Input<wire.ContainerConfig>;
export type PodSandboxConfig = wire.Input<wire.PodSandboxConfig>;
export type DnsConfig = wire.Input<wire.DNSConfig>;
export type Mount = wire.Input<wire.Mount>;
export type Device = wire.Input<wire.Device>;
export type IdMapping = wire.Input<wire.IDMapping>;
export type NamespaceOption = wire.Input<wire.NamespaceOption>;
export type SecurityProfile = wire.Input<wire.SecurityProfile>;
export type SelinuxOption = wire.Input<wire.SELinuxOption>;
export type SecurityContext = wire.Input<wire.LinuxContainerSecurityContext>;
export type LinuxResources = wire.Input<wire.LinuxContainerResources>;
export type Int64Value = wire.Input<wire.Int64Value>;
export type Int64 = bigint | number;
/** Labels, annotations, sysctls. */
export type StringMap = Readonly<Record<string, string | undefined>>;

/** The image configuration's `config` object (OCI image-spec), with the image's own field names. */
export interface ImageConfig {
  readonly Env?: readonly string[] | null | undefined;
  readonly Cmd?: readonly string[] | null | undefined;
  readonly Entrypoint?: readonly string[] | null | undefined;
  readonly User?: string | null | undefined;
  readonly WorkingDir?: string | null | undefined;
  readonly StopSignal?: string | null | undefined;
  readonly Volumes?: Readonly<Record<string, object>> | null | undefined;
}
