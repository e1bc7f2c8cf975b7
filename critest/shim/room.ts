import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { newId } from '../../base/digest.ts';
import { Agent, type StartReport, type SuperviseOptions } from '../../shim/agent.ts';
import { compilePlan, seccompMask } from '../../shim/compile.ts';
import { compileExec } from '../../shim/compile-exec.ts';
import { type ExecOptions, type ExecResult, execSync } from '../../shim/exec.ts';
import type { FeatureName } from '../../shim/features.ts';
import type { OciMount, OciProcess, OciSpec } from '../../shim/oci.ts';
import { shimProgram } from '../../shim/program.ts';
import { connectSupervisor, type Exit, readExit, type Supervisor } from '../../shim/supervisor.ts';
import { sourceTree } from '../harness/tree.ts';
import { until } from '../harness/until.ts';
import { World } from '../harness/world.ts';

const run = promisify(execFile);

const mounts: readonly OciMount[] = [
  { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
  {
    destination: '/dev',
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
  },
  {
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
  },
  { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
  { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
  { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
];

const capabilities = ['CAP_CHOWN', 'CAP_SETUID', 'CAP_SETGID', 'CAP_KILL'];

const processOf = (args: readonly string[], changes: Partial<OciProcess>): OciProcess => ({
  terminal: false,
  user: { uid: 0, gid: 0, additionalGids: [] },
  args,
  env: ['PATH=/usr/bin:/bin'],
  cwd: '/',
  capabilities: {
    bounding: capabilities,
    effective: capabilities,
    permitted: capabilities,
    inheritable: [],
    ambient: [],
  },
  rlimits: [{ type: 'RLIMIT_NOFILE', soft: 1024, hard: 4096 }],
  noNewPrivileges: true,
  ...changes,
});

export interface ContainerOptions {
  readonly process?: Partial<OciProcess>;
  readonly mounts?: readonly OciMount[];
  readonly linux?: Partial<OciSpec['linux']>;
  /** Topmost first; the guest's layer is below them. */
  readonly layers?: readonly string[];
  readonly memory?: number;
  readonly readonlyRoot?: boolean;
  readonly bpf?: Uint8Array;
  readonly stdin?: boolean;
  readonly stdinOnce?: boolean;
  readonly wait?: boolean;
}

/** Compiled once a test process. */
let guest: Promise<Buffer> | undefined;

const compileGuest = async (path: string): Promise<Buffer> => {
  const source = join(sourceTree, 'critest/shim/guest.c');
  await run('musl-gcc', ['-static', '-Os', '-s', '-D_GNU_SOURCE', '-o', path, source]);
  return readFile(path);
};

/**
 * What the tests of the native container share: a world with an agent, a layer and a cgroup. Pids that supervisors report
 * are those of the world.
 */
export class Room implements AsyncDisposable {
  readonly world: World;
  readonly directory: string;
  readonly agent: Agent;
  readonly #cgroup: string;
  readonly #hierarchies: readonly string[];
  readonly #containers: Container[] = [];

  private constructor(world: World, agent: Agent, hierarchies: readonly string[]) {
    this.world = world;
    this.directory = world.directory;
    this.#cgroup = `/${world.cgroup}`;
    this.agent = agent;
    this.#hierarchies = hierarchies;
  }

  static async make(without: readonly FeatureName[] = []): Promise<Room> {
    const world = await World.make();
    await mkdir(world.path('layer/bin'), { recursive: true });
    guest ??= compileGuest(world.path('guest'));
    await writeFile(world.path('layer/bin/guest'), await guest, { mode: 0o755 });
    const warn = (fields: object, message: string): void => console.error(message, fields);
    const program = await world.entrance(await shimProgram());
    const agent = await Agent.start({ program, log: { warn, error: warn }, without });
    const table = await readFile('/proc/self/mounts', 'utf8');
    const hierarchies = [...table.matchAll(/^\S+ (\S+) cgroup /gm)].map((match) => match[1] ?? '');
    return new Room(world, agent, hierarchies);
  }

  /** What /proc has of a process by the pid that it has in the world: `status`, `fd`. */
  proc(pid: number, name: string): string {
    return this.world.seen(`/proc/${pid}/${name}`);
  }

  async signal(pid: number, name: 'STOP' | 'CONT' | 'KILL'): Promise<void> {
    await this.world.sh(`kill -${name} ${pid}`);
  }

  /** A layer directory with what `fill` puts into it. */
  async layer(fill: (path: string) => Promise<unknown>): Promise<string> {
    const path = join(this.directory, `layer-${newId().slice(0, 12)}`);
    await mkdir(path);
    await chmod(path, 0o755);
    await fill(path);
    return path;
  }

  async container(args: readonly string[], options: ContainerOptions = {}): Promise<Container> {
    const id = newId();
    const bundle = join(this.directory, id.slice(0, 12));
    for (const name of ['', 'upper', 'work', 'logs']) await mkdir(join(bundle, name), { recursive: true });
    const cgroup = `${this.#cgroup}/${id}`;
    const directories = this.#hierarchies.map((mount) => mount + cgroup);
    const spec = specOf(args, cgroup, options);
    const memory = directories.find((directory) => directory.includes('/memory/'));
    const plan = compilePlan({
      spec,
      root: {
        lowers: [...(options.layers ?? []), join(this.directory, 'layer')],
        upper: join(bundle, 'upper'),
        work: join(bundle, 'work'),
        volatile: true,
      },
      log: { path: join(bundle, 'logs/0.log'), directory: join(bundle, 'logs') },
      stdin: options.stdin ?? false,
      wait: options.wait ?? false,
      stdinOnce: options.stdinOnce ?? false,
      cgroup: {
        make: directories.map((directory) => ({ directory, version: 1 })),
        writes: [
          ...(await cpusets(this.#hierarchies, [this.#cgroup, cgroup])),
          ...(options.memory === undefined || memory === undefined
            ? []
            : [{ file: `${memory}/memory.limit_in_bytes`, value: `${options.memory}` }]),
        ],
        join: directories.map((directory) => `${directory}/tasks`),
      },
      ...(options.bpf === undefined ? {} : { bpf: options.bpf }),
      features: this.agent.features,
    });
    await writeFile(join(bundle, 'plan'), plan);
    const container = new Container(this, bundle, spec, directories, options.bpf);
    this.#containers.push(container);
    return container;
  }

  /** A started one. */
  async start(args: readonly string[], options: ContainerOptions = {}): Promise<Container> {
    const container = await this.container(args, options);
    await container.start();
    return container;
  }

  /** Cgroups of this room that are still there, below the room's own. */
  async cgroupsLeft(): Promise<string[]> {
    const left: string[] = [];
    for (const mount of this.#hierarchies)
      for (const entry of await readdir(mount + this.#cgroup, { withFileTypes: true }).catch(() => []))
        if (entry.isDirectory()) left.push(join(mount + this.#cgroup, entry.name));
    return left;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const container of this.#containers) await container.end();
    await this.agent[Symbol.asyncDispose]();
    await this.world[Symbol.asyncDispose]();
  }
}

/** A new cpuset of v1 is empty, and takes no process. */
const cpusets = async (
  hierarchies: readonly string[],
  cgroups: readonly string[],
): Promise<{ file: string; value: string }[]> => {
  const mount = hierarchies.find((path) => path.split(/[/,]/).includes('cpuset'));
  if (mount === undefined) return [];
  const files = ['cpuset.cpus', 'cpuset.mems'];
  const values = await Promise.all(files.map((file) => readFile(join(mount, file), 'utf8')));
  return cgroups.flatMap((path) =>
    files.map((file, index) => ({ file: join(mount + path, file), value: (values[index] ?? '').trim() })),
  );
};

const specOf = (args: readonly string[], cgroupsPath: string, options: ContainerOptions): OciSpec => ({
  ociVersion: '1.2.0',
  hostname: 'guest',
  root: { path: 'rootfs', readonly: options.readonlyRoot ?? false },
  annotations: {},
  mounts: [...mounts, ...(options.mounts ?? [])],
  process: processOf(args, options.process ?? {}),
  linux: {
    namespaces: [
      { type: 'pid' },
      { type: 'mount' },
      { type: 'ipc' },
      { type: 'uts' },
      { type: 'network' },
      { type: 'cgroup' },
    ],
    devices: [],
    cgroupsPath,
    resources: { devices: [] },
    maskedPaths: ['/proc/kcore', '/proc/interrupts', '/proc/keys', '/sys/firmware', '/proc/not-there'],
    readonlyPaths: ['/proc/bus', '/proc/sys'],
    ...options.linux,
  },
});

export class Container {
  readonly bundle: string;
  readonly log: string;
  readonly cgroups: readonly string[];
  readonly #room: Room;
  readonly #spec: OciSpec;
  readonly #bpf: Uint8Array | undefined;
  #report: StartReport | undefined;

  constructor(room: Room, bundle: string, spec: OciSpec, cgroups: readonly string[], bpf?: Uint8Array) {
    this.#room = room;
    this.bundle = bundle;
    this.cgroups = cgroups;
    this.log = join(bundle, 'logs/0.log');
    this.#spec = spec;
    this.#bpf = bpf;
  }

  async start(options: SuperviseOptions = {}): Promise<StartReport> {
    this.#report = await this.#room.agent.supervise(this.bundle, options);
    return this.#report;
  }

  report(): StartReport {
    if (this.#report === undefined) throw new Error('the container was not started');
    return this.#report;
  }

  /** Nothing is left to end. */
  forget(): void {
    this.#report = undefined;
  }

  async with<T>(action: (supervisor: Supervisor) => Promise<T>): Promise<T> {
    const supervisor = await connectSupervisor(this.bundle);
    try {
      return await action(supervisor);
    } finally {
      supervisor.close();
    }
  }

  /** The exit record, when the supervisor has gone as well. */
  async ended(): Promise<Exit> {
    const lock = join(this.bundle, 'lock');
    await until('the supervisor has ended', async () => (await this.#room.agent.tryLock(lock)).free, 30);
    const exit = await readExit(this.bundle);
    if (exit === undefined) throw new Error('the supervisor left no exit record');
    return exit;
  }

  execPlan(args: readonly string[], changes: Partial<OciProcess> = {}): Buffer {
    return compileExec(processOf(args, { ...this.#spec.process, terminal: false, ...changes, args }), {
      namespaces: this.#spec.linux.namespaces,
      join: this.cgroups.map((directory) => `${directory}/tasks`),
      ...(this.#bpf === undefined ? {} : { bpf: this.#bpf, seccompFlags: seccompMask(this.#spec) }),
    });
  }

  exec(args: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    return execSync(this.bundle, this.execPlan(args), options);
  }

  /** The log's text without its times. */
  async lines(path = this.log): Promise<string[]> {
    const text = await readFile(path, 'utf8');
    return text
      .split('\n')
      .slice(0, -1)
      .map((line) => line.replace(/^\S+ /, ''));
  }

  async end(): Promise<void> {
    if (this.#report === undefined || (await readExit(this.bundle)) !== undefined) return;
    await this.with((supervisor) => supervisor.kill(9, 'all')).catch(() => undefined);
    await this.ended();
  }
}

/** Copies the guest to another place of a layer. */
export const copyGuest = (room: Room, to: string): Promise<void> =>
  copyFile(join(room.directory, 'layer/bin/guest'), to);
