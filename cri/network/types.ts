import type { Json } from './json.ts';

/** The name of a pod's own interface inside of it, as all runtimes have it. */
export const podInterface = 'eth0';

/** One plugin process. The spawn agent of shim/ has this shape; `name` is the step's name and stands in errors. */
export interface PluginRequest {
  readonly name: string;
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly stdin: Uint8Array;
  readonly timeoutMs: number;
  /** Held by the process and all that it starts, so that a later daemon knows when an orphan has ended. */
  readonly lock?: string;
  readonly signal?: AbortSignal;
}

export interface PluginOutput {
  readonly code: number;
  readonly signal: number;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
}

export interface PluginRunner {
  run(request: PluginRequest): Promise<PluginOutput>;
  /** Waits for the lock file's holder, at most `waitMs`, then kills its process group. */
  endHolder(path: string, waitMs: number): Promise<void>;
}

export type Command = 'ADD' | 'DEL' | 'CHECK' | 'GC' | 'STATUS' | 'VERSION';

/** A plugin's call has ended; without `error` it was done. */
export type OnPluginCall = (call: {
  readonly command: Command;
  readonly plugin: string;
  readonly seconds: number;
  readonly error: unknown;
}) => void;

export interface NetworkLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface NetworkConfig {
  readonly confDir: string;
  readonly binDirs: readonly string[];
  /** "" chooses one; else an IPv4 CIDR, or an IPv4 and an IPv6 CIDR joined by a comma; "none": no default network. */
  readonly embeddedSubnet: string;
  readonly embeddedBridge: string;
  /** A template that becomes the configuration when the node's pod CIDR is told; "" for none. */
  readonly confTemplate: string;
}

/** As in CRI; a mapping without a host port asks for nothing. */
export interface PortMapping {
  readonly protocol: 'TCP' | 'UDP' | 'SCTP';
  readonly containerPort: number;
  readonly hostPort: number;
  readonly hostIp: string;
}

export interface NetworkSandbox {
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly netnsPath: string;
  readonly portMappings: readonly PortMapping[];
  readonly annotations: Readonly<Record<string, string>>;
  readonly dns: {
    readonly servers: readonly string[];
    readonly searches: readonly string[];
    readonly options: readonly string[];
  };
  readonly cgroupParent: string;
  /** Addresses asked for by the node's policy, for plugins with the capability `ips`. */
  readonly ips?: readonly string[];
  /** The sandbox's `cni.lock`. */
  readonly lockPath: string;
}

/** NetworkReady of CRI's Status. `source` is the file's path, `embedded` or `none`. */
export interface NetworkStatus {
  readonly ready: boolean;
  readonly reason: '' | 'NetworkPluginNotReady';
  readonly message: string;
  readonly source: string;
}

export type CapabilityArgs = Readonly<Record<string, Json>>;
