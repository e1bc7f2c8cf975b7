import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Client, connect } from '../api/client.ts';
import { TestDaemon } from '../critest/harness/daemon.ts';
import { startRegistry } from '../critest/harness/registry.ts';
import { until } from '../critest/harness/until.ts';
import { systemEnvironment, World } from '../critest/harness/world.ts';
import { bigRegistry } from './big-image.ts';
import { cpuOf } from './cpu.ts';
import { freshDisk } from './disk.ts';

/** A daemon with a disk of its own that is new, and a registry with the images of big-image.ts beside it. */
export interface PullSide {
  readonly world: World;
  readonly client: Client;
  /** On the disk. */
  readonly directory: string;
  /** CPU seconds until now of its own processes and all that they have waited for. */
  cpu(): Promise<number>;
  /** The daemon's memory (VmRSS) in bytes, and its peak (VmHWM) since `forgetPeak`. */
  memory(): Promise<{ readonly now: number; readonly peak: number }>;
  forgetPeak(): Promise<void>;
  /** Bytes of layers that the registry has given until now: a layer that came twice counts twice. */
  fetched(): Promise<number>;
  /** The delay of the daemon's event loop in milliseconds by percentile, as it tells it itself; begins with the first question. */
  loop?(): Promise<ReadonlyMap<string, number>>;
}

/** Starts a side, with what `writeBigImages` made in `storage`; the stack takes it down. `registry`: keys for our own. */
export interface PullTarget {
  readonly name: string;
  start(storage: string, stack: AsyncDisposableStack, registry?: Readonly<Record<string, number>>): Promise<PullSide>;
}

/** Reads lines of an access log such as `"GET /v2/a/blobs/sha256:… HTTP/1.1" 200 123456 …`. */
const layersIn = async (log: string): Promise<number> => {
  const lines = (await readFile(log, 'utf8')).matchAll(/"GET \S+\/blobs\/\S+ HTTP\/1\.1" 20[06] (\d+) /g);
  return [...lines].reduce((sum, [, length]) => sum + Number(length), 0);
};

const beside = async (
  world: World,
  storage: string,
  pid: number,
  names: RegExp,
): Promise<Omit<PullSide, 'client' | 'directory'>> => {
  const log = world.path('big-registry.log');
  await startRegistry(world, { address: bigRegistry, storage, log });
  const proc = world.seen(`/proc/${pid}`);
  const kilobytes = (status: string, key: string): number =>
    Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024;
  return {
    world,
    cpu: () => cpuOf(world.seen('/proc'), names, undefined, true),
    memory: async () => {
      const status = await readFile(join(proc, 'status'), 'utf8');
      return { now: kilobytes(status, 'VmRSS'), peak: kilobytes(status, 'VmHWM') };
    },
    forgetPeak: () => writeFile(join(proc, 'clear_refs'), '5'),
    fetched: () => layersIn(log),
  };
};

const metrics = '127.0.0.1:9464';

/** berthd from this tree. */
export const ownPulls: PullTarget = {
  name: 'berth',
  start: async (storage, stack, registry = {}) => {
    const daemon = stack.use(
      await TestDaemon.prepare({ config: { log_level: 'info', metrics: { address: metrics }, registry } }),
    );
    const { world } = daemon;
    const directory = world.path('root');
    await freshDisk(world, directory);
    await daemon.boot();
    const loop = async (): Promise<ReadonlyMap<string, number>> => {
      const page = await world.sh(`curl -sf http://${metrics}/metrics`);
      const lines = page.matchAll(/^berth_event_loop_delay_seconds\{percentile="(\d+)"\} (\S+)$/gm);
      return new Map([...lines].map(([, percentile = '', seconds]) => [percentile, Number(seconds) * 1000]));
    };
    return { ...(await beside(world, storage, daemon.pid, /^berth/)), client: daemon.client, directory, loop };
  },
};

const configuration = (world: World, root: string, isSynced: boolean): string => `version = 3
root = "${root}"
state = "${world.path('state')}"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
  address = "${world.path('c.sock')}"
[ttrpc]
  address = "${world.path('t.sock')}"
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  image_pull_with_sync_fs = ${isSynced}
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = "${world.path('certs.d')}"
`;

/**
 * containerd from the directory `programs`; it takes igzip from the PATH. `isSynced`: layers are on the disk when the pull is
 * done, as Berth's always are; by default containerd leaves that to the kernel.
 */
export const containerdPulls = (programs: string, isSynced: boolean): PullTarget => ({
  name: isSynced ? 'containerd, synced' : 'containerd',
  start: async (storage, stack) => {
    const world = stack.use(await World.make());
    const directory = world.path('root');
    await freshDisk(world, directory);
    const hosts = world.path('certs.d', bigRegistry);
    await mkdir(hosts, { recursive: true });
    await writeFile(join(hosts, 'hosts.toml'), `server = "http://${bigRegistry}"\n`);
    const config = world.path('containerd.toml');
    await writeFile(config, configuration(world, directory, isSynced));
    const pidFile = world.path('pid');
    const script = `echo $$ >${pidFile}; exec "$@" >${world.path('log.txt')} 2>&1`;
    world.spawn('sh', ['-c', script, 'sh', join(programs, 'containerd'), '--config', config], {
      stdio: 'ignore',
      env: systemEnvironment,
    });
    const client = connect(`unix://${world.path('c.sock')}`, { timeoutMs: 60_000 });
    stack.defer(() => client.close());
    const answers = (): Promise<boolean> => client.Version({}, { timeoutMs: 1000 }).then(isThere, isMissing);
    await until('containerd answers', answers, startSeconds);
    const pid = Number(await readFile(pidFile, 'utf8'));
    return { ...(await beside(world, storage, pid, /^(?:containerd|igzip|unpigz)/)), client, directory };
  },
});

const startSeconds = 60;
const isThere = (): boolean => true;
const isMissing = (): boolean => false;
