import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Client, connect } from '../../api/client.ts';
import { merged, type TomlDocument, toToml } from './config.ts';
import { names, testImages } from './images.ts';
import { confDirectory, type TestNetwork, writeNetwork } from './network.ts';
import { difference, type Snapshot, takeSnapshot } from './snapshot.ts';
import { buildTree } from './tree.ts';
import { slowness, until } from './until.ts';
import { systemEnvironment, World } from './world.ts';

export interface DaemonOptions {
  /** Joined with the harness's own configuration, key by key. */
  readonly config?: TomlDocument;
  /** For example BERTH_FAULT, BERTH_WITHOUT. */
  readonly env?: Readonly<Record<string, string>>;
  readonly network?: TestNetwork;
  /** Who makes cgroups; cgroupfs unless BERTH_TEST_DRIVER says systemd. */
  readonly driver?: 'cgroupfs' | 'systemd';
  /** In the machine's own network namespace: the test must leave that as it was. */
  readonly hostNetwork?: boolean;
  /** Words in front of the daemon's command line: a program that becomes it. */
  readonly through?: readonly string[];
  /** Test images to import at the first start; busybox unless told. */
  readonly images?: readonly string[];
}

const readySeconds = 30;

export const testDriver = (): 'cgroupfs' | 'systemd' =>
  process.env.BERTH_TEST_DRIVER === 'systemd' ? 'systemd' : 'cgroupfs';

/** berthd in a world of its own. `await using` takes all of it down, also when the test fails. */
export class TestDaemon implements AsyncDisposable {
  readonly world: World;
  readonly #configFile: string;
  readonly #through: readonly string[];
  /** Where it is installed; the next `boot` heeds a change. */
  tree = buildTree;
  #process: ChildProcess | undefined;
  #client: Client | undefined;
  #pid = 0;

  private constructor(world: World, through: readonly string[]) {
    this.world = world;
    this.#through = through;
    this.#configFile = world.path('config.toml');
  }

  static async start(options: DaemonOptions = {}): Promise<TestDaemon> {
    const daemon = await TestDaemon.prepare(options);
    try {
      await daemon.boot(options.env);
      await daemon.import(options.images ?? [names.busybox]);
      return daemon;
    } catch (error) {
      await daemon[Symbol.asyncDispose]();
      throw error;
    }
  }

  async import(images: readonly string[]): Promise<void> {
    const path = join(await testImages(), 'layout');
    await Promise.all(images.map((name) => this.client.Import({ path, name })));
  }

  /** Everything but the daemon itself. */
  static async prepare(options: DaemonOptions = {}): Promise<TestDaemon> {
    const { network = 'bridge', config = {}, through = [], hostNetwork = false } = options;
    const world = await World.make({ hostNetwork, systemd: (options.driver ?? testDriver()) === 'systemd' });
    const daemon = new TestDaemon(world, through);
    await writeNetwork(world, network);
    await mkdir(world.path('logs'));
    // The real one is reached through a link too: /var/run leads to /run.
    await symlink('.', world.path('var'));
    await daemon.configure(merged(network === 'none' ? { network: { embedded_subnet: 'none' } } : {}, config));
    return daemon;
  }

  /** Writes the configuration anew; the next `boot` reads it. */
  async configure(extra: TomlDocument): Promise<void> {
    await writeFile(this.#configFile, toToml(merged(this.#ownConfig(), extra)));
  }

  #ownConfig(): TomlDocument {
    const { world } = this;
    return {
      root: world.path('root'),
      state: world.path('state'),
      listen: this.address,
      log_level: 'debug',
      cgroup: { parent: world.systemd ? world.cgroup : `/${world.cgroup}` },
      network: { conf_dir: confDirectory(world), netns_dir: world.path('var/netns') },
      registry: { plain_http: ['127.0.0.1:5000', '127.0.0.1:5001', '127.0.0.1:5002'] },
    };
  }

  get address(): string {
    return `unix://${this.world.path('b.sock')}`;
  }

  get client(): Client {
    if (this.#client === undefined) throw new Error('the test daemon is not running');
    return this.#client;
  }

  /** A parent of pods below the daemon's own, as a path below the root of each hierarchy. */
  parentOf(...names: readonly string[]): string {
    const { cgroup, systemd } = this.world;
    if (!systemd) return `/${[cgroup, ...names].join('/')}`;
    const parts = [cgroup.replace('.slice', ''), ...names];
    return parts.map((_, index) => `/${parts.slice(0, index + 1).join('-')}.slice`).join('');
  }

  /** A container's cgroup below the root of each hierarchy; `parent` is its pod's, as a path. */
  cgroupOf({ id }: { readonly id: string }, parent = `/${this.world.cgroup}`): string {
    return `${parent}/${this.world.systemd ? `berth-${id}.scope` : id}`;
  }

  /** The daemon's pid in the world. */
  get pid(): number {
    return this.#pid;
  }

  /** Starts the daemon and waits until it answers; an error shows the end of its log. */
  async boot(env: Readonly<Record<string, string>> = {}): Promise<void> {
    const process = await this.launch(env);
    const client = connect(this.address, { timeoutMs: 60_000 * slowness });
    try {
      await until('berthd answers', () => this.#answers(process, client), readySeconds);
    } catch (error) {
      client.close();
      throw new Error(`berthd did not start: ${await this.log(40)}`, { cause: error });
    }
    this.#client = client;
  }

  async #answers(process: ChildProcess, client: Client): Promise<boolean> {
    if (process.exitCode !== null) throw new Error(`berthd ended with status ${process.exitCode}`);
    return client.Version({}, { timeoutMs: 1000 }).then(
      () => true,
      () => false,
    );
  }

  /** Starts the daemon without waiting for it. Its pid in the world comes from the shell that becomes it. */
  async launch(env: Readonly<Record<string, string>> = {}): Promise<ChildProcess> {
    const { world } = this;
    const pidFile = world.path('log.pid');
    const log = await open(world.path('log.txt'), 'a');
    const script = `echo $$ >${pidFile}; exec "$@"`;
    // as bin/berthd does
    const node = [process.execPath, '--max-semi-space-size=1', '--initial-old-space-size=32'];
    const command = [...this.#through, ...node, join(this.tree, 'bin/berthd.js'), '--config', this.#configFile];
    await writeFile(pidFile, '');
    const child = world.spawn('sh', ['-c', script, 'sh', ...command], {
      stdio: ['ignore', log.fd, log.fd],
      env: { ...systemEnvironment, ...env },
    });
    this.#process = child;
    await log.close();
    this.#pid = Number(
      await until('berthd has a pid', async () => (await readFile(pidFile, 'utf8')).trim() || undefined),
    );
    return child;
  }

  /** The last lines of the daemon's log. */
  async log(lines = 1000): Promise<string> {
    const content = await readFile(this.world.path('log.txt'), 'utf8');
    return content.split('\n').slice(-lines).join('\n');
  }

  /** Resolves with the exit status when the daemon has ended by itself; -1 for a signal. */
  async ended(): Promise<number> {
    const child = this.#process;
    if (child === undefined) throw new Error('the test daemon was not started');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    if (this.#process === child) this.#disconnect();
    return child.exitCode ?? -1;
  }

  #disconnect(): void {
    this.#client?.close();
    this.#client = undefined;
  }

  async signal(name: 'TERM' | 'HUP' | 'KILL' | 'STOP' | 'CONT'): Promise<void> {
    await this.world.sh(`kill -${name} ${this.#pid}`);
    if (name === 'CONT') this.#process?.kill('SIGCONT'); // nsenter stops itself when its child is stopped
  }

  /** SIGTERM and the end of the process. */
  async stop(): Promise<number> {
    await this.signal('TERM');
    return this.ended();
  }

  async kill(): Promise<void> {
    await this.signal('KILL');
    await this.ended();
  }

  /** kill -9, and the daemon again on the same directories. */
  async killAndBoot(env: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.kill();
    await this.boot(env);
  }

  /** Boots it when it does not run. */
  async ensure(): Promise<void> {
    const child = this.#process;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) await this.boot();
  }

  /** Whether its process has ended; one that a signal is just ending gets a moment. */
  async isGone(ms = 300): Promise<boolean> {
    if (this.#process === undefined) return true;
    return Promise.race([this.ended().then(() => true), sleep(ms, false, { ref: false })]);
  }

  /** Resolves when the daemon has stopped itself (SIGSTOP), or the signal is aborted. */
  async paused(signal: AbortSignal): Promise<void> {
    const stat = this.world.seen(`/proc/${this.#pid}/stat`);
    const stopped = async (): Promise<boolean> =>
      signal.aborted || / T /.test(await readFile(stat, 'utf8').catch(() => ''));
    await until('the daemon has stopped itself', stopped, 120);
  }

  /** Pids in the world of processes with this name (`berth-agent`, `berth-shim`). */
  async pidsOf(name: string): Promise<number[]> {
    const own = await this.world.sh('ps -o mntns= $$');
    const { stdout } = await this.world.run('ps', ['-C', name, '-o', 'pid=,mntns=']);
    const lines = stdout.split('\n').map((line) => line.trim().split(/\s+/));
    const isOurs = (namespace: string | undefined): boolean => !this.world.systemd || namespace === own.trim();
    return lines.filter(([pid, namespace]) => Number(pid) > 0 && isOurs(namespace)).map(([pid]) => Number(pid));
  }

  /** What was removed of images is deleted some time later: here it is gone. */
  async snapshot(): Promise<Snapshot> {
    await this.deleteGarbage().catch(() => undefined);
    return takeSnapshot(this.world);
  }

  async deleteGarbage(): Promise<void> {
    for await (const _ of this.client.Prune({ garbage_only: true }));
  }

  /** Waits for the state of `before`: what is taken down in the background may take a moment. The rest is returned. */
  async leftSince(before: Snapshot, ignore?: RegExp, seconds = 20): Promise<readonly string[]> {
    let left: readonly string[] = [];
    const clean = async (): Promise<boolean> => {
      left = difference(before, await this.snapshot(), ignore);
      return left.length === 0;
    };
    await until('nothing is left', clean, seconds).catch(() => {});
    return left;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#disconnect();
    await this.world[Symbol.asyncDispose]();
  }
}
