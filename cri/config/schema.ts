export type TypeName =
  | 'path'
  | 'paths'
  | 'address'
  | 'choice'
  | 'cgroup'
  | 'subnet'
  | 'interface'
  | 'hosts'
  | 'patterns'
  | 'handlers'
  | 'integer'
  | 'size'
  | 'boolean'
  | 'profile'
  | 'annotation'
  | 'ip'
  | 'endpoint'
  | 'file';

export type Value = string | number | boolean | readonly string[];

export interface Key {
  /** `table.key`, or `key` at the top. */
  readonly name: string;
  readonly type: TypeName;
  /** Whether a running daemon takes a new value (cri/config/reload.ts); calls in flight end with the old one. */
  readonly reload: boolean;
  readonly default: Value;
  /** For `berthd config default`; a line an element. */
  readonly comment: readonly string[];
  readonly choices?: readonly string[];
  readonly least?: number;
  readonly most?: number;
  /** For integers: what is counted. */
  readonly unit?: string;
}

/** `registry` of `registry.plain_http`; "" of a key at the top. */
export const tableOf = (name: string): string => (name.includes('.') ? name.slice(0, name.lastIndexOf('.')) : '');

/** `plain_http` of `registry.plain_http`. */
export const lastOf = (name: string): string => name.slice(name.lastIndexOf('.') + 1);

/** The tables with their comments; the empty name is the top of the file. */
export const tables: Readonly<Record<string, string>> = {
  '': '',
  log: 'What containers write.',
  cgroup: 'Where pods are accounted for and limited.',
  network: 'Pod networks, by CNI.',
  registry: 'How images are fetched.',
  images: 'How images are kept.',
  mounts: 'What is mounted into containers.',
  limits: 'What a container may use when its pod says nothing.',
  seccomp: 'Which system calls a container may make.',
  selinux: 'Labels of containers, where the kernel has SELinux.',
  exec: 'Commands that are run in containers.',
  streaming: 'The server for exec, attach and port-forward. The kubelet connects to it for its clients.',
  metrics: 'What tells of the daemon itself, by HTTP: /metrics for Prometheus, /healthz and /readyz.',
};

/**
 * Every key: the file's parser, `berthd config default`, the flags and the tests read this. The shape of the result is
 * `Config` in index.ts.
 */
export const keys: readonly Key[] = [
  {
    name: 'root',
    type: 'path',
    reload: false,
    default: '/var/lib/berth',
    comment: ['Images, writable layers and what pods are. Survives a reboot; mode 0700.'],
  },
  {
    name: 'state',
    type: 'path',
    reload: false,
    default: '/run/berth',
    comment: ['Namespaces, supervisors and sockets. A tmpfs that a reboot empties; mode 0700.'],
  },
  {
    name: 'listen',
    type: 'address',
    reload: false,
    default: 'unix:///run/berth/berth.sock',
    comment: ['Where kubelet, crictl and berth connect to. Follows `state` when that is set and this is not.'],
  },
  {
    name: 'log_level',
    type: 'choice',
    reload: true,
    choices: ['debug', 'info', 'warn', 'error'],
    default: 'info',
    comment: ['debug logs reads too.'],
  },
  {
    name: 'runtime_handlers',
    type: 'handlers',
    reload: true,
    default: [],
    comment: [
      'More names of the one runtime there is: the handlers of RuntimeClasses that the pods of this node have, such as "runc".',
      'A pod whose handler is neither here nor "berth" is refused.',
    ],
  },
  {
    name: 'log.termination_annotation',
    type: 'annotation',
    reload: true,
    default: 'io.kubernetes.container.terminationMessagePolicy',
    comment: [
      'The annotation of containers that says `FallbackToLogsOnError` where the end of the log may become the termination message;',
      'the kubelet sets this one. A last line without its newline is then marked P: the kubelet would add a newline for F, which it has',
      'in all other logs. "" for none.',
    ],
  },
  {
    name: 'cgroup.driver',
    type: 'choice',
    reload: false,
    choices: ['auto', 'systemd', 'cgroupfs'],
    default: 'auto',
    comment: [
      'Who makes the cgroups of containers: "systemd", a scope each, or "cgroupfs", Berth itself. The kubelet asks for it,',
      'or has the same as its cgroupDriver. "auto": systemd where it started the machine and cgroups are v2, unless the parent',
      'is a path. Containers that run keep what they were started with.',
    ],
  },
  {
    name: 'cgroup.parent',
    type: 'cgroup',
    reload: false,
    default: '',
    comment: [
      'Parent of pods whose request names none (the kubelet names one): a systemd slice such as "berth.slice", or a path below',
      'each hierarchy such as "/berth"; these are what "" means.',
    ],
  },
  {
    name: 'cgroup.grace_period_annotation',
    type: 'annotation',
    reload: true,
    default: 'io.kubernetes.pod.terminationGracePeriod',
    comment: [
      'The annotation of containers with the seconds that systemd leaves them between their stop signal and SIGKILL when the',
      'machine shuts down; the kubelet sets this one. Without it 30.',
    ],
  },
  {
    name: 'cgroup.io_weight_annotation',
    type: 'annotation',
    reload: true,
    default: '',
    comment: [
      'An annotation of containers, or of pods for each of their containers, that weighs their use of block devices: 10 to',
      '1000. "" for none: then no annotation counts.',
    ],
  },
  {
    name: 'cgroup.io_max_annotation',
    type: 'annotation',
    reload: true,
    default: '',
    comment: [
      'The same for limits of block devices: "/dev/sda rbps=1048576 wiops=100, 8:16 wbps=65536", in bytes (bps) and',
      'operations (iops) a second.',
    ],
  },
  {
    name: 'network.conf_dir',
    type: 'path',
    reload: true,
    default: '/etc/cni/net.d',
    comment: ["The first conflist here is the pods' network. It may come later; nothing has to be restarted."],
  },
  {
    name: 'network.bin_dirs',
    type: 'paths',
    reload: true,
    default: ['/opt/cni/bin', '/usr/lib/cni'],
    comment: ['Where plugins are looked for, in this order.'],
  },
  {
    name: 'network.netns_dir',
    type: 'path',
    reload: true,
    default: '/var/run/netns',
    comment: ['Where network namespaces are pinned; CNI daemons look here.'],
  },
  {
    name: 'network.embedded_subnet',
    type: 'subnet',
    reload: false,
    default: '',
    comment: [
      'Addresses of the default network that serves until conf_dir has a conflist: an IPv4 range of /20 or wider,',
      'and after a comma an IPv6 one if wanted. "" takes the pod CIDR of the node as soon as the kubelet tells it, and a free',
      'range before; "none" switches the default network off.',
    ],
  },
  {
    name: 'network.embedded_bridge',
    type: 'interface',
    reload: false,
    default: 'berth0',
    comment: ['Bridge of the default network.'],
  },
  {
    name: 'network.conf_template',
    type: 'file',
    reload: false,
    default: '',
    comment: [
      "A template of a conflist, as containerd has them, that is written into conf_dir with the node's pod CIDR when the",
      'kubelet tells it and nothing else is there. It may name .PodCIDR, .PodCIDRRanges and .Routes. With one there is no',
      'default network. "" for none.',
    ],
  },
  {
    name: 'registry.config_path',
    type: 'paths',
    reload: true,
    default: ['/etc/berth/certs.d', '/etc/containerd/certs.d', '/etc/docker/certs.d'],
    comment: [
      'Mirrors, certificates and headers of registries: HOST/hosts.toml in these directories, as containerd has them, or',
      "Docker's certificate files. The first directory that has HOST (or _default) counts. Read anew for each pull.",
    ],
  },
  {
    name: 'registry.plain_http',
    type: 'hosts',
    reload: true,
    default: [],
    comment: [
      'Registries that are spoken to without TLS, as "host" or "host:port", where hosts.toml says nothing of them. All',
      'others need HTTPS, but those on the loopback with a port of their own that do not speak it.',
    ],
  },
  {
    name: 'registry.stall_seconds',
    type: 'integer',
    reload: true,
    unit: 'seconds',
    default: 60,
    least: 1,
    most: 3600,
    comment: ['A download that brings no byte for so many seconds has failed, and is tried again.'],
  },
  {
    name: 'registry.range_connections',
    type: 'integer',
    reload: true,
    unit: 'connections',
    default: 4,
    least: 1,
    most: 32,
    comment: [
      'Over all pulls: while fewer layers are fetched, one of 32 MiB or more comes over several connections, in pieces of 8 MiB',
      'side by side, where the registry gives ranges.',
    ],
  },
  {
    name: 'registry.range_window',
    type: 'size',
    reload: true,
    default: 16_777_216,
    least: 8_388_608,
    most: 1_073_741_824,
    comment: [
      'How much of such layers may be in memory ahead of its time, over all pulls. Bytes, or text such as "32MiB".',
    ],
  },
  {
    name: 'registry.docker_config',
    type: 'file',
    reload: true,
    default: '',
    comment: [
      'A Docker config.json with credentials (auths, credHelpers, credsStore) for pulls that bring none. "" for none.',
      'Read anew when it changes.',
    ],
  },
  {
    name: 'registry.credential_provider_config',
    type: 'file',
    reload: true,
    default: '',
    comment: [
      'A CredentialProviderConfig as the kubelet\'s --image-credential-provider-config, asked after docker_config. "" for',
      'none: the kubelet asks its own. Read anew when it changes.',
    ],
  },
  {
    name: 'registry.credential_bin_dirs',
    type: 'paths',
    reload: true,
    default: ['/usr/libexec/kubernetes/kubelet-plugins/credential-provider', '/usr/local/bin', '/usr/bin'],
    comment: ['Where the programs of both are looked for, in this order.'],
  },
  {
    name: 'images.keep_blobs',
    type: 'boolean',
    reload: true,
    default: true,
    comment: ['Keep compressed layers beside the unpacked ones: exact digests for save and push, twice the space.'],
  },
  {
    name: 'images.parallel_pulls',
    type: 'integer',
    reload: true,
    unit: 'pulls',
    default: 16,
    least: 1,
    most: 256,
    comment: ['Images that are pulled at the same time; others wait in line.'],
  },
  {
    name: 'images.parallel_layers',
    type: 'integer',
    reload: true,
    unit: 'layers',
    default: 8,
    least: 1,
    most: 64,
    comment: ['Layers that are fetched and unpacked at the same time, over all pulls.'],
  },
  {
    name: 'images.max_layer_size',
    type: 'size',
    reload: true,
    default: 68_719_476_736,
    least: 1_048_576,
    most: 8_796_093_022_208,
    comment: [
      'A layer that unpacks to more is refused, so that no image fills the disk. Bytes, or text such as "64GiB".',
    ],
  },
  {
    name: 'images.max_layer_expansion',
    type: 'integer',
    reload: true,
    unit: 'times',
    default: 200,
    least: 1,
    most: 1_000_000,
    comment: [
      'A layer that unpacks to more than so many times its compressed size, and to more than 1 GiB, is refused as a',
      'decompression bomb. Usual layers expand two to five times.',
    ],
  },
  {
    name: 'images.pinned',
    type: 'patterns',
    reload: true,
    default: [],
    comment: [
      'Images that no garbage collection takes, the kubelet\'s neither: names such as "registry.example/app" (all its tags',
      'and digests) or "busybox:1.36", or whole names with "*" for any characters, as "registry.example/*".',
    ],
  },
  {
    name: 'images.policy',
    type: 'file',
    reload: true,
    default: '',
    comment: [
      'Which images may be pulled, by registry and namespace: a file in the form of containers-policy.json(5), with keys of',
      'cosign or a program that decides (docs/verification.md). "" for no policy: all may.',
    ],
  },
  {
    name: 'images.policy_dir',
    type: 'file',
    reload: true,
    default: '',
    comment: [
      'A directory of such files, NAMESPACE.json: each decides alone about the images of the pods of that Kubernetes namespace.',
      '"" for none.',
    ],
  },
  {
    name: 'mounts.make_missing_sources',
    type: 'boolean',
    reload: true,
    default: true,
    comment: [
      'A host path of a mount that is not there is made as a directory, which hostPath volumes without a type rely on.',
      'false: it is an error.',
    ],
  },
  {
    name: 'limits.nofile_soft',
    type: 'integer',
    reload: true,
    unit: 'open files',
    default: 1024,
    least: 64,
    most: 1_073_741_816,
    comment: [
      'Open files a process, soft: programs that want more raise it up to nofile_hard. CNI plugins and other helpers have the',
      "value of the daemon's start.",
    ],
  },
  {
    name: 'limits.nofile_hard',
    type: 'integer',
    reload: true,
    unit: 'open files',
    default: 524_288,
    least: 64,
    most: 1_073_741_816,
    comment: ['The same, hard. Not more than berthd has itself.'],
  },
  {
    name: 'limits.pids',
    type: 'integer',
    reload: true,
    unit: 'processes',
    default: 0,
    least: 0,
    most: 4_194_304,
    comment: ['Processes a container; 0 for no limit of its own (the kubelet limits the pod).'],
  },
  {
    name: 'seccomp.default',
    type: 'profile',
    reload: true,
    default: 'builtin',
    comment: [
      'The profile behind RuntimeDefault: "builtin", or the absolute path of a profile in the OCI\'s or Docker\'s form.',
    ],
  },
  {
    name: 'selinux.enable',
    type: 'boolean',
    reload: false,
    default: false,
    comment: [
      "Each pod gets a label of its own from the policy's contexts for containers; a request may choose another.",
      'While this is off, a request that names one is refused on such a kernel.',
    ],
  },
  {
    name: 'exec.output_limit',
    type: 'size',
    reload: true,
    default: 16_777_216,
    least: 65_536,
    most: 16_777_216,
    comment: [
      'How much of each of stdout and stderr ExecSync gives back; the rest is read and dropped.',
      'Bytes, or text such as "4MiB".',
    ],
  },
  {
    name: 'streaming.address',
    type: 'ip',
    reload: false,
    default: '127.0.0.1',
    comment: [
      'An IP address of this machine. The kubelet runs here too: another than the loopback is for tools, and wants TLS.',
    ],
  },
  {
    name: 'streaming.port',
    type: 'integer',
    reload: false,
    unit: 'a port',
    default: 0,
    least: 0,
    most: 65_535,
    comment: ['0 for any that is free: the kubelet is told which.'],
  },
  {
    name: 'streaming.tls_cert',
    type: 'file',
    reload: false,
    default: '',
    comment: ['Certificate and key in PEM, both or none. They are read anew when they change.'],
  },
  {
    name: 'streaming.tls_key',
    type: 'file',
    reload: false,
    default: '',
    comment: ['The key of tls_cert.'],
  },
  {
    name: 'streaming.tls_client_ca',
    type: 'file',
    reload: false,
    default: '',
    comment: [
      'With this, clients must have a certificate that one of these has signed. The berth command comes over local.sock in the state',
      'directory, which is open to root alone, and needs none.',
    ],
  },
  {
    name: 'streaming.idle_seconds',
    type: 'integer',
    reload: true,
    unit: 'seconds',
    default: 14_400,
    least: 0,
    most: 2_000_000,
    comment: ['A stream without data in either direction is closed after so long; 0 for never. Pings are no data.'],
  },
  {
    name: 'streaming.creation_seconds',
    type: 'integer',
    reload: true,
    unit: 'seconds',
    default: 30,
    least: 1,
    most: 3600,
    comment: ['What a client may take to open all the streams that it needs.'],
  },
  {
    name: 'metrics.address',
    type: 'endpoint',
    reload: false,
    default: 'unix:///run/berth/http.sock',
    comment: [
      'A socket, unix:///path, that root alone can use, or an address of the loopback with its port, "127.0.0.1:9464", which every',
      'user and every pod in the host\'s network can. "" for neither. Follows `state` when that is set and this is not.',
    ],
  },
  {
    name: 'metrics.allow_remote',
    type: 'boolean',
    reload: false,
    default: false,
    comment: [
      'Allows another address than those of the loopback: whoever reaches it reads, without TLS and credentials.',
    ],
  },
  {
    name: 'metrics.stuck_seconds',
    type: 'integer',
    unit: 'seconds',
    reload: false,
    default: 60,
    least: 1,
    most: 86_400,
    comment: [
      'A step (a file written, a plugin run, a supervisor asked) that takes longer is stuck: it is told once in the log and counted',
      'in berth_stuck_work. Steps that take long by nature, such as unpacking, have a multiple of it.',
    ],
  },
];
