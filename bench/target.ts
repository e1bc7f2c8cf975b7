import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { type Client, connect } from '../api/client.ts';
import type { PodSandboxConfig } from '../api/generated/types.ts';
import { TestDaemon } from '../critest/harness/daemon.ts';
import { names } from '../critest/harness/images.ts';
import { systemEnvironment } from '../critest/harness/world.ts';
import { cpuOf } from './cpu.ts';
import { beginNothingWhenInterrupted, podPrefix, watchingPods } from './left.ts';

/** An endpoint that is measured. */
export interface Target {
  readonly name: string;
  readonly client: Client;
  /** `unix:///run/berth/berth.sock` */
  readonly address: string;
  readonly image: string;
  /** Names of the processes that it adds to the machine, without the workload. */
  readonly processes: RegExp;
  /** CPU seconds of its own processes until now; `children`: and of those that they have waited for. */
  cpu(children: boolean): Promise<number>;
  /** Absolute, exists. */
  readonly logs: string;
  /** Its pods have user namespaces. */
  readonly userNamespaces?: boolean;
  /** Its daemon's directory in /proc; undefined when it is not known. */
  proc?(): string;
  /** kill -9 and start again, until it answers; only for our own. */
  readonly restart?: () => Promise<void>;
  /** What a stream takes of it; undefined when it is not known where it listens. */
  readonly streaming?: StreamingSide;
}

export interface StreamingSide {
  /** Starts a program where the streaming server can be reached. */
  spawn(command: string, args: readonly string[], options: SpawnOptions): ChildProcess;
}

/** berthd from this tree in a world of its own. */
export const ownTarget = async (stack: AsyncDisposableStack, log: string): Promise<Target> => {
  const daemon = stack.use(await TestDaemon.start({ config: { log_level: log } }));
  return {
    name: 'berth',
    get client() {
      return daemon.client;
    },
    address: daemon.address,
    image: names.busybox,
    processes: /^berth/,
    cpu: (children) => cpuOf(daemon.world.seen('/proc'), /^berth/, undefined, children),
    logs: daemon.world.path('logs'),
    proc: () => daemon.world.seen(`/proc/${daemon.pid}`),
    restart: () => daemon.killAndBoot(),
    streaming: { spawn: (command, args, options) => daemon.world.spawn(command, args, options) },
  };
};

/** Another CRI endpoint on this machine. It pulls the image that `image` names, unless it has it; the stack leaves no pod there. */
export const peerTarget = async (
  address: string,
  image: string,
  logs: string,
  pid: string | undefined,
  stack: AsyncDisposableStack,
): Promise<Target> => {
  const connected = connect(address, { timeoutMs: 120_000 });
  stack.defer(() => connected.close());
  const { client, dropLeft } = watchingPods(connected);
  stack.defer(dropLeft);
  const { image: there } = await client.ImageStatus({ image: { image } });
  if (there === undefined) await client.PullImage({ image: { image } });
  const { runtime_name, runtime_version } = await client.Version({});
  const processes = /^(containerd|pause|crun|runc|crio|conmon)/;
  return {
    name: `${runtime_name} ${runtime_version}`,
    client,
    address,
    image,
    processes,
    cpu: (children) => cpuOf('/proc', processes, pid, children),
    ...(pid === undefined ? {} : { proc: () => `/proc/${pid}`, streaming: peerStreaming(pid) }),
    logs,
  };
};

const peerStreaming = (pid: string): StreamingSide => ({
  spawn: (command, args, options) =>
    spawn('nsenter', ['--target', pid, '--net', '--', command, ...args], { env: systemEnvironment, ...options }),
});

const mapping = [{ host_id: 100_000, container_id: 0, length: 65536 }];

let serial = 0;

/** A pod's config of its own; `host` is one on the host's network, which no CNI plugin sees. */
export const podConfig = (target: Target, network: 'cni' | 'host'): PodSandboxConfigInput => {
  beginNothingWhenInterrupted();
  serial += 1;
  const name = `${podPrefix}${serial}`;
  const mode = network === 'host' ? 'NODE' : 'POD';
  return {
    metadata: { name, uid: name, namespace: 'bench', attempt: 0 },
    log_directory: `${target.logs}/${name}`,
    linux: {
      security_context: {
        namespace_options: {
          network: mode,
          pid: 'CONTAINER',
          ipc: 'POD',
          ...(target.userNamespaces ? { userns_options: { mode: 'POD', uids: mapping, gids: mapping } } : {}),
        },
      },
    },
  };
};

type PodSandboxConfigInput = import('../api/generated/types.ts').Input<PodSandboxConfig>;
