import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContainerConfig, ContainerStatus, Input, PodSandboxConfig } from '../../api/generated/types.ts';
import type { TestDaemon } from './daemon.ts';
import { names } from './images.ts';
import { type LogLine, logText, parseLog } from './log-lines.ts';
import { until } from './until.ts';

type PodInput = Input<PodSandboxConfig>;
type ContainerInput = Input<ContainerConfig>;

let serial = 0;
/** A name that no other object of this test process has. */
export const fresh = (prefix: string): string => {
  serial += 1;
  return `${prefix}-${serial}`;
};

/** What kubelet asks for, unless the pod says otherwise: each container has its own pid namespace. */
const linuxConfig = (linux: PodInput['linux']): PodInput['linux'] => ({
  ...linux,
  security_context: { namespace_options: { pid: 'CONTAINER' }, ...linux?.security_context },
});

/** A pod's config with its own name, uid and log directory. */
export const podConfig = (daemon: TestDaemon, extra: PodInput = {}): PodInput => {
  const name = extra.metadata?.name ?? fresh('pod');
  return {
    hostname: extra.linux?.security_context?.namespace_options?.network === 'NODE' ? '' : name,
    log_directory: daemon.world.path('logs', name),
    ...extra,
    linux: linuxConfig(extra.linux),
    metadata: { uid: `uid-${name}`, namespace: 'default', attempt: 0, ...extra.metadata, name },
  };
};

/** A container of busybox; `command` is a shell script or the words of a command. */
export const containerConfig = (command: string | readonly string[], extra: ContainerInput = {}): ContainerInput => {
  const name = extra.metadata?.name ?? fresh('container');
  return {
    image: { image: names.busybox },
    command: typeof command === 'string' ? ['sh', '-c', command] : command,
    log_path: `${name}.log`,
    ...extra,
    metadata: { attempt: 0, ...extra.metadata, name },
  };
};

/** A reader may see a part of what is just being written, where it goes over the end of a page. */
const closedText = async (path: string): Promise<string> => {
  for (let look = 0; ; look += 1) {
    const content = await readFile(path, 'utf8');
    if (content === '' || content.endsWith('\n') || look === 50) return content;
    await sleep(2);
  }
};

/** Runs for a day and ends at once at SIGTERM. */
export const idle = 'trap "exit 0" TERM; sleep 86400 & wait';

/** A container that was created; the methods are calls with its id. */
export class TestContainer {
  readonly id: string;
  readonly logFile: string;
  readonly #daemon: TestDaemon;

  constructor(daemon: TestDaemon, id: string, logFile: string) {
    this.#daemon = daemon;
    this.id = id;
    this.logFile = logFile;
  }

  async start(): Promise<this> {
    await this.#daemon.client.StartContainer({ container_id: this.id });
    return this;
  }

  async status(): Promise<ContainerStatus> {
    const { status } = await this.#daemon.client.ContainerStatus({ container_id: this.id });
    if (status === undefined) throw new Error(`container ${this.id}: a status without a status`);
    return status;
  }

  /** The status once it has ended. */
  exited(seconds = 20): Promise<ContainerStatus> {
    return until(
      `container ${this.id} ends`,
      async () => {
        const status = await this.status();
        return status.state === 'CONTAINER_EXITED' && status;
      },
      seconds,
    );
  }

  async lines(): Promise<LogLine[]> {
    return parseLog(await closedText(this.logFile));
  }

  async text(stream?: 'stdout' | 'stderr'): Promise<string> {
    return logText(await this.lines(), stream);
  }

  stop(seconds = 0): Promise<unknown> {
    return this.#daemon.client.StopContainer({ container_id: this.id, timeout: seconds });
  }

  remove(): Promise<unknown> {
    return this.#daemon.client.RemoveContainer({ container_id: this.id });
  }

  /** Output, error output and exit code of a shell script or command in the container. */
  async exec(
    command: string | readonly string[],
    timeout = 20,
  ): Promise<{ readonly stdout: string; readonly stderr: string; readonly code: number }> {
    const cmd = typeof command === 'string' ? ['sh', '-c', command] : command;
    const answer = await this.#daemon.client.ExecSync({ container_id: this.id, cmd, timeout });
    return { stdout: decode(answer.stdout), stderr: decode(answer.stderr), code: answer.exit_code };
  }

  /** The main process in the test's world, from the verbose status. */
  async pid(): Promise<number> {
    const { info } = await this.#daemon.client.ContainerStatus({ container_id: this.id, verbose: true });
    const parsed: unknown = JSON.parse(info.info ?? '{}');
    if (typeof parsed === 'object' && parsed !== null && 'pid' in parsed && typeof parsed.pid === 'number')
      return parsed.pid;
    throw new Error(`container ${this.id}: no pid in its verbose status: ${JSON.stringify(info)}`);
  }
}

const decode = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');

/** A pod that runs. */
export class TestPod {
  readonly id: string;
  readonly config: PodInput;
  readonly #daemon: TestDaemon;

  constructor(daemon: TestDaemon, id: string, config: PodInput) {
    this.#daemon = daemon;
    this.id = id;
    this.config = config;
  }

  async create(command: string | readonly string[], extra: ContainerInput = {}): Promise<TestContainer> {
    const config = containerConfig(command, extra);
    const request = { pod_sandbox_id: this.id, config, sandbox_config: this.config };
    const { container_id } = await this.#daemon.client.CreateContainer(request);
    return new TestContainer(this.#daemon, container_id, `${this.config.log_directory}/${config.log_path}`);
  }

  async run(command: string | readonly string[], extra: ContainerInput = {}): Promise<TestContainer> {
    return (await this.create(command, extra)).start();
  }

  /** Runs it to its end: what it printed and how it ended. */
  async output(
    command: string | readonly string[],
    extra: ContainerInput = {},
  ): Promise<{ readonly stdout: string; readonly stderr: string; readonly status: ContainerStatus }> {
    const container = await this.run(command, extra);
    const status = await container.exited();
    return { stdout: await container.text('stdout'), stderr: await container.text('stderr'), status };
  }

  stop(): Promise<unknown> {
    return this.#daemon.client.StopPodSandbox({ pod_sandbox_id: this.id });
  }

  async remove(): Promise<void> {
    await this.stop();
    await this.#daemon.client.RemovePodSandbox({ pod_sandbox_id: this.id });
  }
}

export const runPod = async (daemon: TestDaemon, extra: PodInput = {}): Promise<TestPod> => {
  const config = podConfig(daemon, extra);
  const { pod_sandbox_id } = await daemon.client.RunPodSandbox({ config });
  return new TestPod(daemon, pod_sandbox_id, config);
};
