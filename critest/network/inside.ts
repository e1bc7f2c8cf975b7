import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { dir as temporaryDirectory } from 'tmp-promise';
import { newId } from '../../base/digest.ts';

const run = promisify(execFile);
/** The source tree's own: the compiler copies no shell scripts. */
const fixtures = join(import.meta.dirname, '../../../critest/network/fixtures');
const driverProgram = join(import.meta.dirname, '../../cri/network/testing/driver.js');

/** An error as the driver told it. */
export class Refused extends Error {
  readonly code: string;

  constructor({ code, message }: { readonly code: string; readonly message: string }) {
    super(message);
    this.code = code;
  }
}

export interface SetupResult {
  readonly podIPs: readonly string[];
  readonly interfaces: readonly { readonly name: string; readonly sandbox: string }[];
}

export interface Status {
  readonly ready: boolean;
  readonly reason: string;
  readonly message: string;
  readonly source: string;
}

/** A process with the Network in it, see cri/network/testing/driver.ts. */
export class Driver {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  readonly logs: string[] = [];
  #serial = 0;

  constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout === null) throw new Error('driver without stdout');
    createInterface({ input: child.stdout }).on('line', (line) => this.#take(JSON.parse(line)));
    child.on('exit', () => {
      for (const { reject } of this.#waiting.values()) reject(new Error('the driver ended'));
    });
  }

  ready(): Promise<unknown> {
    return new Promise((resolve, reject) => this.#waiting.set(0, { resolve, reject }));
  }

  call(method: string, params: unknown = null): Promise<unknown> {
    this.#serial += 1;
    const id = this.#serial;
    this.#child.stdin?.write(`${JSON.stringify({ id, method, params })}\n`);
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  setup(sandbox: Pod, timeoutMs = 60_000): Promise<SetupResult> {
    return this.call('setup', { sandbox, timeoutMs }) as Promise<SetupResult>;
  }

  status(): Promise<Status> {
    return this.call('status') as Promise<Status>;
  }

  /** kill -9, as a daemon dies; its agent, which is its only child, dies first. */
  async kill(): Promise<void> {
    const pid = this.#child.pid;
    const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ');
    for (const child of children) if (child !== '') process.kill(Number(child), 'SIGKILL');
    await end(this.#child);
  }

  #take(line: { id?: number; result?: unknown; error?: { code: string; message: string }; log?: string }): void {
    if (line.log !== undefined) this.logs.push(line.log);
    const waiting = this.#waiting.get(line.id ?? -1);
    this.#waiting.delete(line.id ?? -1);
    if (line.error === undefined) waiting?.resolve(line.result);
    else waiting?.reject(new Refused(line.error));
  }
}

export type Pod = ReturnType<typeof podIn>;

const podIn = (base: string, extra: object) => {
  const id = newId();
  return {
    id,
    name: 'web',
    namespace: 'default',
    uid: 'u-1',
    netnsPath: join(base, 'netns', `cni-${id.slice(0, 12)}`),
    portMappings: [] as readonly object[],
    annotations: {},
    dns: { servers: [], searches: [], options: [] },
    cgroupParent: '/kubepods/pod1',
    lockPath: join(base, 'state', id, 'cni.lock'),
    ...extra,
  };
};

/** A network and a mount namespace of the test's own; nothing in it is seen outside, and all goes with `close`. */
export class Inside implements AsyncDisposable {
  readonly base: string;
  readonly confDir: string;
  readonly root: string;
  binDirs: readonly string[] = ['/usr/lib/cni'];
  embeddedSubnet = '';
  confTemplate = '';
  readonly #holder: ChildProcess;
  readonly #cleanup: () => Promise<void>;
  readonly #children: ChildProcess[] = [];

  private constructor(base: string, holder: ChildProcess, cleanup: () => Promise<void>) {
    this.base = base;
    this.confDir = join(base, 'etc/net.d');
    this.root = join(base, 'root');
    this.#holder = holder;
    this.#cleanup = cleanup;
  }

  static async open(): Promise<Inside> {
    const { path, cleanup } = await temporaryDirectory({ unsafeCleanup: true, prefix: 'berth-net-' });
    for (const name of ['netns', 'state', 'root', 'etc/net.d', 'bin'])
      await mkdir(join(path, name), { recursive: true });
    // xtables takes its lock in /run: a tmpfs there keeps the machine's own untouched.
    const script = 'mount -t tmpfs none /run && ip link set lo up && echo ready && exec sleep 900';
    const holder = spawn('unshare', ['-nm', '--propagation', 'private', 'sh', '-c', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(holder.stdout, 'data');
    return new Inside(path, holder, cleanup);
  }

  pod(extra: object = {}): Pod {
    return podIn(this.base, extra);
  }

  /** Makes the pod's netns, pinned, with lo up: what the sandbox does before CNI. */
  async makeNetns(pod: Pod): Promise<Pod> {
    await mkdir(join(this.base, 'state', pod.id), { recursive: true });
    await writeFile(pod.netnsPath, '');
    await this.exec('unshare', `--net=${pod.netnsPath}`, 'ip', 'link', 'set', 'lo', 'up');
    return pod;
  }

  async removeNetns(pod: Pod): Promise<void> {
    await this.exec('umount', pod.netnsPath);
  }

  writeConf(name: string, conf: object): Promise<void> {
    return writeFile(join(this.confDir, name), JSON.stringify(conf));
  }

  /** A plugin of our own (fixtures/) beside the real ones. */
  async addPlugin(name: string): Promise<void> {
    await copyFile(join(fixtures, `${name}.sh`), join(this.base, 'bin', name));
    this.binDirs = [join(this.base, 'bin'), '/usr/lib/cni'];
  }

  async driver(extra: object = {}): Promise<Driver> {
    const config = {
      confDir: this.confDir,
      binDirs: this.binDirs,
      embeddedSubnet: this.embeddedSubnet,
      embeddedBridge: 'berth0',
      confTemplate: this.confTemplate,
    };
    const options = JSON.stringify({ root: this.root, config, ...extra });
    const driver = new Driver(this.spawn(process.execPath, driverProgram, options));
    await driver.ready();
    return driver;
  }

  spawn(...argv: readonly string[]): ChildProcess {
    const child = spawn('nsenter', [...this.#enter(), ...argv], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#children.push(child);
    return child;
  }

  /** Output of a command in the test's namespaces. */
  async exec(...argv: readonly string[]): Promise<string> {
    const { stdout } = await run('nsenter', [...this.#enter(), ...argv]);
    return stdout;
  }

  /** JavaScript in a pod's network namespace; what it prints. */
  inPod(pod: Pod, script: string): Promise<string> {
    return this.exec('nsenter', `--net=${pod.netnsPath}`, process.execPath, '-e', script);
  }

  /** A server in the pod that answers every connection with `text`. */
  async serve(pod: Pod, port: number, text: string): Promise<void> {
    const script = `require('net').createServer((s) => s.end(${JSON.stringify(text)})).listen(${port}, '::', () => console.log('up'))`;
    const child = this.spawn('nsenter', `--net=${pod.netnsPath}`, process.execPath, '-e', script);
    if (child.stdout !== null) await once(child.stdout, 'data');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of [...this.#children, this.#holder]) await end(child);
    await this.#cleanup();
  }

  #enter(): readonly string[] {
    return ['-t', String(this.#holder.pid), '-n', '-m', '--'];
  }
}

/** The chain that the tests use: bridge with host-local leases in the test's directory, then `others`. */
export const bridgeConf = (inside: Inside, others: readonly object[] = [], bridge: object = {}) => ({
  cniVersion: '1.0.0',
  name: 'testnet',
  plugins: [
    {
      type: 'bridge',
      bridge: 'cnitest0',
      isGateway: true,
      ipMasq: true,
      ipam: {
        type: 'host-local',
        dataDir: join(inside.base, 'leases'),
        ranges: [[{ subnet: '10.77.0.0/20' }]],
        routes: [{ dst: '0.0.0.0/0' }],
      },
      ...bridge,
    },
    ...others,
  ],
});

/** Addresses that host-local has given away. */
export const leasesOf = async (inside: Inside): Promise<readonly string[]> =>
  (await readdir(join(inside.base, 'leases/testnet'))).filter((name) => /^[0-9]+\.|:/.test(name));

/** Waits until `check` holds; ten seconds at most. */
export const eventually = async (what: string, check: () => Promise<boolean>): Promise<void> => {
  for (let tries = 0; tries < 200; tries += 1) {
    if (await check()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`never seen: ${what}`);
};

const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
};

/** JavaScript that connects and prints what the server says. */
export const fetchText = (host: string, port: number): string =>
  `const s = require('net').connect({ host: '${host}', port: ${port}, timeout: 5000 });
   s.on('data', (d) => process.stdout.write(d)); s.on('timeout', () => s.destroy(new Error('timeout')));`;
