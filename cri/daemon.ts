import { dirname, join } from 'node:path';
import { type ApiServer, serve } from '../api/server.ts';
import { messageOf } from '../base/errors.ts';
import { makePrivateDirectory } from '../base/files.ts';
import { defaultRanges, Images } from '../images/index.ts';
import { Agent, SELF } from '../shim/agent.ts';
import { switchedOff } from '../shim/features.ts';
import { shimProgram } from '../shim/program.ts';
import { detect } from './cgroup/mode.ts';
import { divideService } from './cgroup/service.ts';
import { claimRoot } from './claim.ts';
import type { Config } from './config/index.ts';
import { ContainersDisk } from './container/disk.ts';
import { handlersOf } from './handlers.ts';
import { readHost } from './host.ts';
import type { Log } from './log.ts';
import { Network } from './network/network.ts';
import { SelfCheck } from './observe/self-check.ts';
import { recover } from './recover/recover.ts';
import { emptyObjects, type Runtime } from './runtime.ts';
import { AppArmor } from './security/apparmor.ts';
import { checkContainerRecord, checkSandboxRecord } from './state/check.ts';
import { Store } from './state/store.ts';
import { CpuSampler } from './stats/cpu-sampler.ts';
import { openForwarder, openStreaming } from './stream/open.ts';

/** One daemon: serves from the first moment, is ready when all objects are recovered. Dispose of it to stop. */
export class Daemon implements AsyncDisposable {
  readonly #stack: AsyncDisposableStack;

  private constructor(stack: AsyncDisposableStack) {
    this.#stack = stack;
  }

  /** Containers run on without it. */
  static async start(config: Config, log: Log): Promise<Daemon> {
    await using stack = new AsyncDisposableStack();
    let ready = false;
    const runtime = await openRuntime(config, log, stack);
    const server: ApiServer = await serve(handlersOf(runtime), { address: config.listen, ready: () => ready, log });
    stack.use(server);
    await recover(runtime);
    ready = true;
    await runtime.agent
      .notify('READY=1')
      .catch((error: unknown) => log.warn({ error: messageOf(error) }, 'sd_notify failed'));
    log.info({ listen: config.listen, root: config.root, network: runtime.network.status().source }, 'berthd is ready');
    return new Daemon(stack.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

const directories = ({ root, state }: Config): readonly string[] => [
  root,
  state,
  join(root, 'containers'),
  join(state, 'containers'),
  join(state, 'sandboxes'),
];

const openRuntime = async (config: Config, log: Log, stack: AsyncDisposableStack): Promise<Runtime> => {
  for (const directory of directories(config)) await makePrivateDirectory(directory);
  stack.use(await claimRoot(config));
  const cgroups = await detect();
  const supervisorsCgroup = await divideService(cgroups);
  const agent = stack.use(
    await Agent.start({ log, without: switchedOff(process.env.BERTH_WITHOUT), nofileSoft: config.limits.nofile_soft }),
  );
  const [images, network, streaming, host, sandboxStore, containerStore] = await Promise.all([
    openImages(config, agent, log),
    openNetwork(config, agent, log),
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
    supervisorsCgroup,
    host,
    appArmor: new AppArmor(agent, log),
    sandboxStore,
    containerStore,
    stopping,
    containersDisk: await ContainersDisk.open(config.root, agent, log, stopping),
    cpuSampler: stack.use(new CpuSampler({ ...objects, cgroups })),
    selfCheck: new SelfCheck(config.listen),
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

const openImages = async ({ root, registry, images }: Config, agent: Agent, log: Log): Promise<Images> =>
  Images.open({
    root,
    helper: agent,
    program: SELF,
    decompressor: join(dirname(await shimProgram()), 'berth-decompress'),
    registry: {
      configPath: registry.config_path,
      plainHttp: registry.plain_http,
      stallSeconds: registry.stall_seconds,
      ranges: {
        ...defaultRanges,
        connections: registry.range_connections,
        windowBytes: registry.range_window,
      },
      credentials: {
        dockerConfig: registry.docker_config,
        providerConfig: registry.credential_provider_config,
        binDirs: registry.credential_bin_dirs,
      },
    },
    images: {
      keepBlobs: images.keep_blobs,
      parallelPulls: images.parallel_pulls,
      parallelLayers: images.parallel_layers,
      layerLimit: { bytes: images.max_layer_size, expansion: images.max_layer_expansion },
      pinned: images.pinned,
      policy: images.policy,
    },
    log,
  });

const openNetwork = ({ root, network }: Config, agent: Agent, log: Log): Promise<Network> =>
  Network.open({
    agent,
    root,
    log,
    config: {
      confDir: network.conf_dir,
      binDirs: network.bin_dirs,
      embeddedSubnet: network.embedded_subnet,
      embeddedBridge: network.embedded_bridge,
      confTemplate: network.conf_template,
    },
  });
