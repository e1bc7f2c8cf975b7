import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { podConfig, type StreamingSide, type Target } from '../target.ts';
import type { Done, Job } from './client.ts';

const here = (name: string): string => join(import.meta.dirname, name);

/** A program of ours beside the endpoint: lines in, lines out. */
class Lines implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(side: StreamingSide, program: string) {
    this.#child = side.spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#child.stdout === null) throw new Error(`${program}: no output`);
    const lines: Interface = createInterface({ input: this.#child.stdout });
    this.#lines = lines[Symbol.asyncIterator]();
  }

  async read(): Promise<unknown> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('a program of the bench has ended');
    return JSON.parse(value);
  }

  write(value: unknown): void {
    this.#child.stdin?.write(`${JSON.stringify(value)}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#child, 'close');
    this.#child.stdin?.end();
    await closed;
  }
}

type Over = 'spdy' | 'websocket';

/** A pod on the endpoint's own network with a container that sleeps, and the client beside it. */
export class StreamsTarget implements AsyncDisposable {
  readonly name: string;
  readonly #target: Target;
  readonly #stack: AsyncDisposableStack;
  readonly #client: Lines;
  readonly #ports: readonly number[];
  readonly #pod: string;
  readonly #container: string;

  private constructor(
    target: Target,
    stack: AsyncDisposableStack,
    programs: { readonly client: Lines; readonly ports: readonly number[] },
    ids: { readonly pod: string; readonly container: string },
  ) {
    this.name = target.name;
    this.#target = target;
    this.#stack = stack;
    this.#client = programs.client;
    this.#ports = programs.ports;
    this.#pod = ids.pod;
    this.#container = ids.container;
  }

  static async start(target: Target, side: StreamingSide): Promise<StreamsTarget> {
    await using stack = new AsyncDisposableStack();
    const { client, image } = target;
    const sandbox_config = podConfig(target, 'host');
    const { pod_sandbox_id: pod } = await client.RunPodSandbox({ config: sandbox_config });
    stack.defer(async () => void (await client.RemovePodSandbox({ pod_sandbox_id: pod })));
    stack.defer(async () => void (await client.StopPodSandbox({ pod_sandbox_id: pod })));
    const config = {
      metadata: { name: 'c', attempt: 0 },
      image: { image },
      command: ['sleep', '86400'],
      log_path: 'c',
    };
    const { container_id } = await client.CreateContainer({ pod_sandbox_id: pod, config, sandbox_config });
    await client.StartContainer({ container_id });
    const server = stack.use(new Lines(side, here('server.js')));
    const programs = {
      client: stack.use(new Lines(side, here('client.js'))),
      ports: (await server.read()) as number[],
    };
    return new StreamsTarget(target, stack.move(), programs, { pod, container: container_id });
  }

  cpu(children: boolean): Promise<number> {
    return this.#target.cpu(children);
  }

  /** Milliseconds in which so many bytes came from the container, or from a port. */
  drain(over: Job['over'], bytes: number): Promise<number> {
    const cmd = ['dd', 'if=/dev/zero', 'bs=64k', `count=${bytes >> 16}`];
    return over === 'portforward'
      ? this.#forward({ kind: 'drain', bytes, port: this.#ports[0] ?? 0 })
      : this.#exec(over, cmd, { kind: 'drain', bytes });
  }

  fill(over: Job['over'], bytes: number): Promise<number> {
    return over === 'portforward'
      ? this.#forward({ kind: 'fill', bytes, port: this.#ports[1] ?? 0 })
      : this.#exec(over, ['sh', '-c', `dd bs=64k iflag=fullblock count=${bytes >> 16} | wc -c`], {
          kind: 'fill',
          bytes,
        });
  }

  async echo(over: Over, bytes: number, count: number): Promise<readonly number[]> {
    const url = await this.#execUrl(['cat'], true);
    return this.#run({ over, url, kind: 'echo', bytes, count });
  }

  /** Of the RPC and the session. */
  async end(over: Over): Promise<number> {
    const started = performance.now();
    const url = await this.#execUrl(['true'], false);
    await this.#run({ over, url, kind: 'end' });
    return performance.now() - started;
  }

  async #exec(over: Over, cmd: readonly string[], job: Pick<Job, 'kind' | 'bytes'>): Promise<number> {
    const url = await this.#execUrl(cmd, job.kind === 'fill');
    return (await this.#run({ over, url, ...job }))[0] ?? Number.NaN;
  }

  async #execUrl(cmd: readonly string[], stdin: boolean): Promise<string> {
    const { url } = await this.#target.client.Exec({
      container_id: this.#container,
      cmd: [...cmd],
      stdin,
      stdout: true,
    });
    return url;
  }

  async #forward(job: Pick<Job, 'kind' | 'bytes' | 'port'>): Promise<number> {
    const { url } = await this.#target.client.PortForward({ pod_sandbox_id: this.#pod, port: [job.port] });
    return (await this.#run({ over: 'portforward', url, ...job }))[0] ?? Number.NaN;
  }

  async #run(job: Partial<Job>): Promise<readonly number[]> {
    this.#client.write({ bytes: 0, count: 0, port: 0, ...job });
    const { milliseconds, error } = (await this.#client.read()) as Done;
    if (error !== undefined) console.log(`${this.name}: ${job.kind} over ${job.over}: ${error}`);
    return milliseconds;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack[Symbol.asyncDispose]();
  }
}
