import { dirname, join } from 'node:path';
import { type InheritedSocket, inheritedSockets } from '../api/activation.ts';
import { serve } from '../api/server.ts';
import { makePrivateDirectory } from '../base/files.ts';
import { Images } from '../images/index.ts';
import { Agent, SELF } from '../shim/agent.ts';
import { switchedOff } from '../shim/features.ts';
import { shimProgram } from '../shim/program.ts';
import { openDriver } from './cgroup/driver.ts';
import { detect } from './cgroup/mode.ts';
import { divideService } from './cgroup/service.ts';
import { Systemd } from './cgroup/systemd.ts';
import { claimRoot } from './claim.ts';
import type { Config } from './config/index.ts';
import { ContainersDisk } from './container/disk.ts';
import { keepLimits } from './container/keep-limits.ts';
import { RemovedLayers } from './container/removed-layers.ts';
import { handlersOf } from './handlers.ts';
import { readHost } from './host.ts';
import { LiveRuntime } from './live.ts';
import type { Log } from './log.ts';
import { Network } from './network/network.ts';
import { Metrics } from './observe/metrics.ts';
import { openObserve } from './observe/open.ts';
import { SelfCheck } from './observe/self-check.ts';
import { StuckWork } from './observe/stuck.ts';
import { imageOptions, networkConfig } from './options.ts';
import { checkOwnDirectory } from './own-directory.ts';
import { recover } from './recover/recover.ts';
import { type ReloadOptions, Reloads } from './reload.ts';
import { emptyObjects, type Runtime } from './runtime.ts';
import { AppArmor } from './security/apparmor.ts';
import { ServiceManager } from './service/service-manager.ts';
import { checkContainerRecord, checkSandboxRecord } from './state/check.ts';
import { Store } from './state/store.ts';
import { CgroupReader } from './stats/cgroup.ts';
import { CpuSampler } from './stats/cpu-sampler.ts';
import { openForwarder, openStreaming } from './stream/open.ts';

/** One daemon: serves from the first moment, is ready when all objects are recovered. Dispose of it to stop. */
export class Daemon implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;
  readonly #reloads: Reloads;

  private constructor(stack: AsyncDisposableStack, reloads: Reloads) {
    this.#stack = stack;
    this.#reloads = reloads;
  }

  /** Containers run on without it. */
  static async start(config: Config, options: ReloadOptions): Promise<Daemon> {
    const { log } = options;
    await using stack = new AsyncDisposableStack();
    const inherited = await inheritedSockets();
    const runtime = await openRuntime(config, log, stack, inherited);
    const ready = new Readiness();
    const live = new LiveRuntime(runtime, (current) => handlersOf(current, () => reloads));
    const server = await serve(live.handlers(), {
      address: config.listen,
      inherited,
      settled: ready.settled,
      ready: () => ready.reached,
      log,
    });
    stack.use(await openObserve(runtime, server, () => ready.problem));
    // gives running calls a moment: who restarts the daemon wants none of them lost
    stack.defer(() => server.close(callGraceMs));
    const manager = serviceManager(runtime, stack);
    const reloads = new Reloads(live, manager, options);
    stack.defer(() => manager.stopping());
    await recoverTelling(runtime, manager);
    keepLimits(live);
    await runtime.cpuSampler.sample();
    ready.reach();
    stack.defer(() => ready.end());
    await manager.ready();
    log.info({ listen: config.listen, root: config.root, network: runtime.network.status().source }, 'berthd is ready');
    return new Daemon(stack.move(), reloads);
  }

  /** Reads the configuration anew. The log tells what came of it. */
  async reload(): Promise<void> {
    await this.#reloads.run().catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

const callGraceMs = 3000;

/** Callers of inherited sockets wait so long for a recovery; then they are told, as those of our own are at once. */
const patienceMs = 5000;

class Readiness {
  readonly #settled = Promise.withResolvers<void>();
  #reached = false;
  #ended = false;

  constructor() {
    setTimeout(() => this.#settled.resolve(), patienceMs).unref();
  }

  get reached(): boolean {
    return this.#reached;
  }

  /** Resolves when all objects are recovered, or it takes long. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  /** Why calls are not served; undefined while they are. */
  get problem(): string | undefined {
    if (this.#ended) return 'berthd is stopping';
    return this.#reached ? undefined : 'berthd is starting: what there was before is still being looked at';
  }

  reach(): void {
    this.#reached = true;
    this.#settled.resolve();
  }

  end(): void {
    this.#ended = true;
  }
}

const recoverTelling = async (runtime: Runtime, manager: ServiceManager): Promise<void> => {
  const progress = { done: 0, total: 0 };
  const end = new AbortController();
  void manager.recovering(() => progress, end.signal);
  try {
    await recover(runtime, progress);
  } finally {
    end.abort();
  }
};

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

const serviceManager = (
  { agent, log, selfCheck, sandboxes, containers }: Runtime,
  stack: AsyncDisposableStack,
): ServiceManager => {
  const stopping = new AbortController();
  stack.defer(() => stopping.abort());
  return new ServiceManager({
    notify: (text) => agent.notify(text),
    log,
    env: process.env,
    problem: () => selfCheck.problem(),
    counts: () => `${counted(sandboxes.size, 'pod')}, ${counted(containers.size, 'container')}`,
    signal: stopping.signal,
  });
};

const directories = ({ root, state }: Config): readonly string[] => [
  root,
  state,
  join(root, 'containers'),
  join(state, 'containers'),
  join(state, 'sandboxes'),
];

const openRuntime = async (
  config: Config,
  log: Log,
  stack: AsyncDisposableStack,
  inherited: readonly InheritedSocket[],
): Promise<Runtime> => {
  for (const key of ['root', 'state'] as const) await checkOwnDirectory(key, config[key]);
  for (const directory of directories(config)) await makePrivateDirectory(directory);
  stack.use(await claimRoot(config, inherited));
  const cgroups = await detect();
  const driver = await openDriver(config, cgroups, log, stack.use(new Systemd()));
  const supervisorsCgroup = await divideService(cgroups);
  const agent = stack.use(
    await Agent.start({ log, without: switchedOff(process.env.BERTH_WITHOUT), nofileSoft: config.limits.nofile_soft }),
  );
  const metrics = new Metrics();
  const [images, network, streaming, host, sandboxStore, containerStore] = await Promise.all([
    openImages(config, agent, log, metrics),
    openNetwork(config, agent, log, metrics),
    openStreaming(config, log),
    readHost(config),
    Store.open(join(config.root, 'state/sandboxes'), checkSandboxRecord, log),
    Store.open(join(config.root, 'state/containers'), checkContainerRecord, log),
  ]);
  stack.use(images);
  stack.use(network);
  stack.use(streaming);
  if (host.lowestOomScoreAdj > -1000)
    log.warn(
      { lowest: host.lowestOomScoreAdj },
      'berthd has no CAP_SYS_RESOURCE: a lower oom_score_adj of a container becomes its own',
    );
  const objects = emptyObjects();
  const cgroupReader = stack.use(new CgroupReader(cgroups));
  const stopping = stopFollowing(objects.containers, stack);
  return {
    config,
    log,
    agent,
    images,
    network,
    streaming,
    forwarder: await openForwarder(config, agent, stack),
    cgroups,
    driver,
    supervisorsCgroup,
    host,
    appArmor: new AppArmor(agent, log),
    sandboxStore,
    containerStore,
    stopping,
    containersDisk: await ContainersDisk.open(config.root, agent, log, stopping),
    removedLayers: new RemovedLayers(agent, { log, stopping }),
    cgroupReader,
    cpuSampler: stack.use(new CpuSampler({ ...objects, log, cgroupReader })),
    selfCheck: new SelfCheck(config.listen),
    metrics,
    stuck: stack.use(new StuckWork(log, config.metrics.stuck_seconds)),
    ...objects,
  };
};

/** Before the agent ends: a connection to a supervisor that stays would keep the process. */
const stopFollowing = (containers: Runtime['containers'], stack: AsyncDisposableStack): AbortSignal => {
  const stopping = new AbortController();
  stack.defer(() => {
    stopping.abort();
    for (const { supervisor } of containers.values()) supervisor?.close();
  });
  return stopping.signal;
};

const openImages = async (config: Config, agent: Agent, log: Log, { pullMeter: meter }: Metrics): Promise<Images> =>
  Images.open({
    root: config.root,
    helper: agent,
    program: SELF,
    decompressor: join(dirname(await shimProgram()), 'berth-decompress'),
    ...imageOptions(config),
    log,
    meter,
  });

const openNetwork = (config: Config, agent: Agent, log: Log, { onPluginCall: onCall }: Metrics): Promise<Network> =>
  Network.open({ agent, root: config.root, log, onCall, config: networkConfig(config) });
