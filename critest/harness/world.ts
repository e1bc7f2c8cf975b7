import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { dir } from 'tmp-promise';
import { sourceTree } from './tree.ts';

/** Not the caller's PATH: npm puts its packages' commands in front, and one of them is called nft. */
export const systemEnvironment = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };

export interface Output {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface WorldOptions {
  readonly hostNetwork?: boolean;
  /** systemd makes the cgroups; it knows only pids of its own namespace. */
  readonly systemd?: boolean;
}

/**
 * Network, mount and pid namespaces of its own with a short temporary directory and a cgroup name (critest/harness/holder).
 * Whatever is started in it dies with it, also when the test process is killed.
 */
export class World implements AsyncDisposable {
  readonly directory: string;
  /** Below the root of each cgroup hierarchy. */
  readonly cgroup: string;
  /** Its cgroup is a slice, and it has the machine's pids. */
  readonly systemd: boolean;
  readonly #holder: ChildProcess;
  readonly #init: number;

  private constructor(directory: string, cgroup: string, holder: ChildProcess, init: number, systemd: boolean) {
    this.systemd = systemd;
    this.directory = directory;
    this.cgroup = cgroup;
    this.#holder = holder;
    this.#init = init;
  }

  /** `hostNetwork`: the machine's own network namespace instead; whoever asks for that puts it back as it was. */
  static async make({ hostNetwork = false, systemd = false }: WorldOptions = {}): Promise<World> {
    const { path } = await dir({ prefix: 'bt', mode: 0o755 });
    const cgroup = systemd ? `${path.replaceAll(/[/-]/g, '_').slice(1)}.slice` : path.replaceAll('/', '-').slice(1);
    const holder = spawn(
      join(sourceTree, 'critest/harness/holder'),
      [path, cgroup, ...(hostNetwork ? ['--host-network'] : []), ...(systemd ? ['--host-pids'] : [])],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
        env: { ...systemEnvironment, BERTH_VM: process.env.BERTH_VM ?? '' },
        detached: true,
      },
    );
    const init = await readyPid(holder);
    return new World(path, cgroup, holder, init, systemd);
  }

  path(...parts: readonly string[]): string {
    return join(this.directory, ...parts);
  }

  /** A process in the world; what is returned is nsenter, which lives as long and exits the same way. */
  spawn(command: string, args: readonly string[], options: SpawnOptions): ChildProcess {
    return spawn('nsenter', [...this.#enter, command, ...args], { env: systemEnvironment, ...options });
  }

  /**
   * Writes a program to start what is at `path` from outside: it runs in the world, with the caller's arguments. Who kills
   * that program kills a shell: nsenter lives until what it started has ended, and reaps it. Otherwise the world's end
   * would wait until the machine's init finds time for that.
   */
  async entrance(path: string): Promise<string> {
    const program = this.path('entrance');
    await writeFile(program, `#!/bin/sh\nnsenter ${this.#enter.join(' ')} ${path} "$@"\nexit $?\n`, { mode: 0o700 });
    return program;
  }

  get #enter(): string[] {
    return ['--target', `${this.#init}`, '--mount', '--net', '--pid', '--'];
  }

  async run(command: string, args: readonly string[], input = ''): Promise<Output> {
    const child = this.spawn(command, args, { stdio: 'pipe' });
    child.stdin?.on('error', () => {}); // it may end without reading
    child.stdin?.end(input);
    const [stdout, stderr, [status]] = await Promise.all([
      read(child.stdout),
      read(child.stderr),
      once(child, 'close'),
    ]);
    return { status: status ?? -1, stdout, stderr };
  }

  /** The output of a shell script in the world; an error when its status is not 0. */
  async sh(script: string): Promise<string> {
    const { status, stdout, stderr } = await this.run('sh', ['-c', script]);
    if (status !== 0) throw new Error(`in the test's world: ${script}: status ${status}: ${stderr}${stdout}`);
    return stdout;
  }

  /** A path of the world's own mounts as this process sees it. */
  seen(path: string): string {
    return `/proc/${this.#init}/root${path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#holder.exitCode !== null) return;
    const closed = once(this.#holder, 'close');
    this.#holder.stdin?.end();
    const [status] = await closed;
    if (status !== 0) throw new Error(`taking down ${this.directory}: something stays (status ${status})`);
  }
}

const read = (stream: NodeJS.ReadableStream | null): Promise<string> =>
  stream === null ? Promise.resolve('') : text(stream);

const readyPid = async (holder: ChildProcess): Promise<number> => {
  if (holder.stdout === null) throw new Error('the holder has no output');
  for await (const line of createInterface({ input: holder.stdout })) {
    const match = /^ready (\d+)$/.exec(line);
    if (match !== null) return Number(match[1]);
  }
  throw new Error('the holder ended before it was ready: are we root?');
};
