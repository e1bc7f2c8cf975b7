import { join } from 'node:path';
import { Flights, KeyedLocks } from '../base/locks.ts';
import type { Images } from '../images/index.ts';
import type { Agent } from '../shim/agent.ts';
import type { Forwarder } from '../shim/forward.ts';
import type { CgroupDriver } from './cgroup/driver.ts';
import type { CgroupMode } from './cgroup/mode.ts';
import { nanosecondClock } from './clock.ts';
import type { Config } from './config/index.ts';
import type { ContainersDisk } from './container/disk.ts';
import type { RemovedLayers } from './container/removed-layers.ts';
import { EventHub } from './events/hub.ts';
import type { Host } from './host.ts';
import type { Log } from './log.ts';
import type { Network } from './network/network.ts';
import type { Metrics } from './observe/metrics.ts';
import type { SelfCheck } from './observe/self-check.ts';
import type { StuckWork } from './observe/stuck.ts';
import type { AppArmor } from './security/apparmor.ts';
import type { Container, ContainerRecord } from './state/container.ts';
import { Objects } from './state/objects.ts';
import type { Sandbox, SandboxRecord } from './state/sandbox.ts';
import type { Store } from './state/store.ts';
import type { CgroupReader } from './stats/cgroup.ts';
import type { CpuSampler } from './stats/cpu-sampler.ts';
import type { StreamingServer } from './stream/server.ts';

/** What every RPC works with. One a daemon; made in daemon.ts. */
export interface Runtime {
  readonly config: Config;
  readonly log: Log;
  readonly agent: Agent;
  readonly images: Images;
  readonly containersDisk: ContainersDisk;
  readonly removedLayers: RemovedLayers;
  readonly network: Network;
  readonly streaming: StreamingServer;
  readonly forwarder: Forwarder;
  readonly cgroups: CgroupMode;
  readonly driver: CgroupDriver;
  /** `cgroup.procs` files of the cgroup that supervisors live in; none where berthd is no service. */
  readonly supervisorsCgroup: readonly string[];
  readonly host: Host;
  readonly appArmor: AppArmor;
  readonly cgroupReader: CgroupReader;
  readonly cpuSampler: CpuSampler;
  readonly selfCheck: SelfCheck;
  readonly metrics: Metrics;
  readonly stuck: StuckWork;
  readonly sandboxes: Objects<Sandbox>;
  readonly containers: Objects<Container>;
  readonly sandboxStore: Store<SandboxRecord>;
  readonly containerStore: Store<ContainerRecord>;
  /** Changes of one object run one after the other; never held in a list or a status. */
  readonly locks: KeyedLocks;
  readonly events: EventHub;
  /** Aborted when the daemon stops: nothing that waits in the background may keep it. */
  readonly stopping: AbortSignal;
  /** Creates in flight, by key: a retry joins (lesson A1). */
  readonly creating: Flights<string>;
}

export const emptyObjects = (): Pick<Runtime, 'sandboxes' | 'containers' | 'locks' | 'creating' | 'events'> => ({
  sandboxes: new Objects<Sandbox>('pod sandbox'),
  containers: new Objects<Container>('container'),
  locks: new KeyedLocks(),
  creating: new Flights<string>(),
  events: new EventHub(),
});

/** The sandbox's directory in the state directory: resolv.conf, hosts, hostname, cni.lock, make.lock and the pins. */
export const sandboxPaths = (config: Pick<Config, 'state'>, id: string) => {
  const directory = join(config.state, 'sandboxes', id);
  const at = (name: string): string => join(directory, name);
  return {
    directory,
    resolvConf: at('resolv.conf'),
    hosts: at('hosts'),
    hostname: at('hostname'),
    cniLock: at('cni.lock'),
    makeLock: at('make.lock'),
    user: at('user'),
    ipc: at('ipc'),
    uts: at('uts'),
    shm: at('shm'),
    pid: at('pid'),
  };
};

/** The bundle in the state directory, the writable layer in the root directory. */
export const containerPaths = (config: Pick<Config, 'state' | 'root'>, id: string) => {
  const bundle = join(config.state, 'containers', id);
  const layer = join(config.root, 'containers', id);
  return {
    bundle,
    spec: join(bundle, 'config.json'),
    plan: join(bundle, 'plan'),
    lock: join(bundle, 'lock'),
    running: join(bundle, 'running'),
    update: join(bundle, 'update'),
    layer,
    upper: join(layer, 'upper'),
    work: join(layer, 'work'),
    /** The directories of image volumes and of the image's VOLUMEs. */
    volumes: join(layer, 'volumes'),
  };
};

export const containersOf = (runtime: Pick<Runtime, 'containers'>, sandboxId: string): Container[] =>
  runtime.containers.values().filter((container) => container.record.sandboxId === sandboxId);

/** The same for many pods, of the containers that there are now. */
export const containersOfAll = (
  runtime: Pick<Runtime, 'containers'>,
): ((sandboxId: string) => readonly Container[]) => {
  const groups = Map.groupBy(runtime.containers.values(), ({ record }) => record.sandboxId);
  return (sandboxId) => groups.get(sandboxId) ?? [];
};

/** Nanoseconds since 1970, as CRI wants every time. */
export const now = nanosecondClock(
  () => BigInt(Date.now()),
  () => process.hrtime.bigint(),
);
