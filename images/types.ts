import type { Digest } from '../base/digest.ts';
import type { CredentialSettings } from './registry/node-keyring.ts';

/** What images/ needs of the spawn agent (`Agent` of shim/agent.ts has it); injected, since the two rooms never meet. */
export interface Helper {
  run(request: HelperRequest): Promise<HelperResult>;
}

export interface HelperRequest {
  readonly argv: readonly string[];
  /** All of it: nothing is inherited. */
  readonly env?: Readonly<Record<string, string>>;
  /** At most 1 MiB. */
  readonly stdin?: Uint8Array;
  readonly signal?: AbortSignal;
  readonly timeoutMs?: number;
  readonly name: string;
  /** For the log when it hangs: whose run it is. */
  readonly object?: string;
}

/** stdout and stderr hold 1 MiB each at most. */
export interface HelperResult {
  readonly code: number;
  readonly signal: number;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/** Parts of a pull, in the order of their begin. `layer` is one layer fetched, decompressed and unpacked; `layers` all of them. */
export type PullStage =
  | 'queue'
  | 'resolve'
  | 'manifest'
  | 'verify'
  | 'config'
  | 'layers'
  | 'layer'
  | 'fixups'
  | 'commit';

/** What is measured of pulls. */
export interface PullMeter {
  /** One stage of one pull has ended after so many seconds, with this error or without one. */
  stage(name: PullStage, seconds: number, error?: unknown): void;
  /** So many bytes of blobs came from a registry. */
  received(bytes: number): void;
}

/** The part of a pino logger that is used here. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** CRI's AuthConfig. `auth` is base64 of `user:password`. `serverAddress`, if given, names the only host they are for. */
export interface RegistryAuth {
  readonly username?: string;
  readonly password?: string;
  readonly auth?: string;
  readonly serverAddress?: string;
  readonly identityToken?: string;
  readonly registryToken?: string;
}

export interface RegistrySettings {
  /** Directories with a directory a registry (`certs.d`); the first that speaks of a registry counts. */
  readonly configPath: readonly string[];
  /** `host` or `host:port` that are spoken to without TLS. */
  readonly plainHttp: readonly string[];
  /** A transfer without a byte for so long has stalled. */
  readonly stallSeconds: number;
  /** How a large blob is fetched over several connections; over one unless given. */
  readonly ranges?: RangeSettings;
  /** The node's own credentials; none unless given. */
  readonly credentials?: CredentialSettings;
}

export interface RangeSettings {
  /** For one blob; 1 for none but the first. */
  readonly connections: number;
  /** Smaller blobs come over one. */
  readonly leastBytes: number;
  readonly pieceBytes: number;
  /** What may be read ahead of all blobs, in memory. */
  readonly windowBytes: number;
}

export interface ImageSettings {
  /** Keep the compressed blobs beside the layers. */
  readonly keepBlobs: boolean;
  /** How many images are pulled at once. */
  readonly parallelPulls: number;
  /** How many layers are fetched and unpacked at once, over all pulls. */
  readonly parallelLayers: number;
  readonly layerLimit: LayerLimit;
  /** Patterns of names (pinned.ts). */
  readonly pinned: readonly string[];
  /** File of the verification policy (verify/parse.ts); "" for none. */
  readonly policy: string;
  /** Directory with those of Kubernetes namespaces; "" for none. */
  readonly policyDir: string;
}

/** What a layer may unpack to: `bytes` at most, and `expansion` times its compressed size beyond the first GiB. */
export interface LayerLimit {
  readonly bytes: number;
  readonly expansion: number;
}

export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string;
  /** `os.features` of an index: what the image needs of the machine. */
  readonly osFeatures?: readonly string[];
}

export type Phase = 'waiting' | 'fetching' | 'done';

/** `offset` of `total` compressed bytes of the layer `digest` have been read and unpacked. */
export interface Progress {
  readonly digest: Digest;
  readonly offset: number;
  readonly total: number;
  readonly phase: Phase;
}

export interface PullOptions {
  readonly signal: AbortSignal;
  readonly progress?: (event: Progress) => void;
  /** The Kubernetes namespace of the pod that it is for: it may have a policy of its own. */
  readonly namespace?: string;
  readonly platform?: Platform;
}

/** The `config` object of an OCI image configuration; what the image left out is empty. */
export interface ImageConfig {
  readonly User: string;
  readonly Env: readonly string[];
  readonly Entrypoint: readonly string[];
  readonly Cmd: readonly string[];
  readonly WorkingDir: string;
  readonly Volumes: Readonly<Record<string, object>>;
  readonly StopSignal: string;
  readonly Labels: Readonly<Record<string, string>>;
}

/** A layer of an image, lowest first. `size` in compressed bytes, as in the manifest. */
export interface ImageLayer {
  readonly diffId: Digest;
  readonly digest: Digest;
  readonly size: number;
  readonly mediaType: string;
}

export interface ImageRecord {
  /** The digest of the image's configuration. */
  readonly id: Digest;
  /** `docker.io/library/busybox:1.36` */
  readonly repoTags: readonly string[];
  /** `docker.io/library/busybox@sha256:…`, the digest of the manifest or index that was asked for. */
  readonly repoDigests: readonly string[];
  /** Compressed bytes: manifest, configuration and layers. */
  readonly size: number;
  readonly config: ImageConfig;
  readonly layers: readonly ImageLayer[];
  /** Those of its manifest: what the image says of itself, told and never acted on. At most 16 KiB, else none. */
  readonly annotations: Readonly<Record<string, string>>;
  /** Media type of an artifact, which can be mounted as a volume and not run; its id is the digest of its manifest. */
  readonly artifactType?: string;
  /** A pattern of the configuration names it: no garbage collection and no prune may take it. */
  readonly pinned: boolean;
}

export interface ImageCounts {
  readonly used: number;
  readonly unused: number;
  readonly unnamed: number;
}

export interface ImageMounts {
  /** Absolute paths, topmost first. */
  readonly lowers: readonly string[];
  /** What `/` has in the merged tree; overlayfs takes it from the upper directory, whose owner has to set it. */
  readonly root: { readonly mode: number; readonly uid: number; readonly gid: number };
}

export interface ImageUsage {
  readonly bytes: number;
  readonly inodes: number;
  readonly mountpoint: string;
}
