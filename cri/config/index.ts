export { type Loaded, loadConfig } from './load.ts';
export { passedOverInWords } from './sources.ts';

/** The configuration in force: the file's keys by their names there. See schema.ts for what each one means. */
export interface Config {
  readonly root: string;
  readonly state: string;
  /** `unix:///path` */
  readonly listen: string;
  readonly log_level: 'debug' | 'info' | 'warn' | 'error';
  /** Beside "" and "berth". */
  readonly runtime_handlers: readonly string[];
  readonly log: {
    /** "" for none. */
    readonly termination_annotation: string;
  };
  readonly cgroup: {
    readonly driver: 'auto' | 'systemd' | 'cgroupfs';
    /** "" for the driver's own. */
    readonly parent: string;
    /** "" for none. */
    readonly grace_period_annotation: string;
    /** "" for none. */
    readonly io_weight_annotation: string;
    readonly io_max_annotation: string;
  };
  readonly network: {
    readonly conf_dir: string;
    readonly bin_dirs: readonly string[];
    readonly netns_dir: string;
    /** "", "none", or an IPv4 CIDR that an IPv6 CIDR may follow after a comma. */
    readonly embedded_subnet: string;
    readonly embedded_bridge: string;
    /** A file; "" for none. */
    readonly conf_template: string;
  };
  readonly registry: {
    readonly config_path: readonly string[];
    readonly plain_http: readonly string[];
    readonly stall_seconds: number;
    readonly range_connections: number;
    /** Bytes. */
    readonly range_window: number;
    /** Files; "" for none. */
    readonly docker_config: string;
    readonly credential_provider_config: string;
    readonly credential_bin_dirs: readonly string[];
  };
  readonly images: {
    readonly keep_blobs: boolean;
    readonly parallel_pulls: number;
    readonly parallel_layers: number;
    /** Bytes. */
    readonly max_layer_size: number;
    readonly max_layer_expansion: number;
    /** Patterns of names, as images/pinned.ts reads them. */
    readonly pinned: readonly string[];
    /** A file; "" for none. */
    readonly policy: string;
    /** A directory; "" for none. */
    readonly policy_dir: string;
  };
  readonly mounts: { readonly make_missing_sources: boolean };
  /** `pids` 0 means no limit. */
  readonly limits: { readonly nofile_soft: number; readonly nofile_hard: number; readonly pids: number };
  /** "builtin" or an absolute path. */
  readonly seccomp: { readonly default: string };
  readonly streaming: {
    readonly address: string;
    /** 0: any. */
    readonly port: number;
    /** Files; "" for none. */
    readonly tls_cert: string;
    readonly tls_key: string;
    readonly tls_client_ca: string;
    /** 0: none. */
    readonly idle_seconds: number;
    readonly creation_seconds: number;
  };
  readonly metrics: {
    /** "", `unix:///path`, or an IP address with its port (observe/endpoint.ts). */
    readonly address: string;
    readonly allow_remote: boolean;
    readonly stuck_seconds: number;
  };
  readonly selinux: { readonly enable: boolean };
  /** Bytes of each stream. */
  readonly exec: { readonly output_limit: number };
}
