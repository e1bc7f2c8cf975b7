import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TestDaemon } from '../critest/harness/daemon.ts';
import { startRegistry } from '../critest/harness/registry.ts';
import { systemEnvironment } from '../critest/harness/world.ts';
import { bigRegistry } from './big-image.ts';
import { cpuOf } from './cpu.ts';

/** A daemon, and a registry with the images of big-image.ts beside it. */
export interface PullSide {
  /** Absolute, on the file system that the images go to. */
  readonly directory: string;
  /** Starts the registry, with what `writeBigImages` made. */
  serve(storage: string): Promise<void>;
  /** CPU seconds until now of its own processes and all that they have waited for. */
  cpu(): Promise<number>;
  /** The daemon's peak of memory (VmHWM) in bytes, since `forgetPeak`. */
  peak(): Promise<number>;
  forgetPeak(): Promise<void>;
  /** Bytes of layers that the registry has given until now: a layer that came twice counts twice. */
  fetched(): Promise<number>;
  /** The output of a bash script where the registry can be reached. */
  sh(script: string, args: readonly string[]): Promise<string>;
}

/** Reads lines of an access log such as `"GET /v2/a/blobs/sha256:… HTTP/1.1" 200 123456 …`. */
const layersIn = async (log: string): Promise<number> => {
  const lines = (await readFile(log, 'utf8')).matchAll(/"GET \S+\/blobs\/\S+ HTTP\/1\.1" 20[06] (\d+) /g);
  return [...lines].reduce((sum, [, length]) => sum + Number(length), 0);
};

/** `proc`: the daemon's directory in /proc. */
const memory = (proc: string): Pick<PullSide, 'peak' | 'forgetPeak'> => ({
  peak: async () => Number(/^VmHWM:\s+(\d+) kB$/m.exec(await readFile(join(proc, 'status'), 'utf8'))?.[1]) * 1024,
  forgetPeak: () => writeFile(join(proc, 'clear_refs'), '5'),
});

export const ownPulls = (daemon: TestDaemon): PullSide => {
  const { world } = daemon;
  const log = world.path('big-registry.log');
  return {
    ...memory(world.seen(`/proc/${daemon.pid}`)),
    directory: world.directory,
    serve: (storage) => startRegistry(world, { address: bigRegistry, storage, log }),
    cpu: () => cpuOf(world.seen('/proc'), /^berth/, undefined, true),
    fetched: () => layersIn(log),
    sh: async (script, args) => {
      const { status, stdout, stderr } = await world.run('bash', ['-c', script, 'bash', ...args]);
      if (status !== 0) throw new Error(`bash in the world: status ${status}: ${stderr}`);
      return stdout;
    },
  };
};

const configuration = (storage: string): string => `version: 0.1
log: { level: warn }
storage: { filesystem: { rootdirectory: ${storage} }, maintenance: { readonly: { enabled: true } } }
http: { addr: ${bigRegistry} }
`;

const registryStartMs = 500;

/** `pid`: a process in the peer's namespaces, and the daemon itself. */
export const peerPulls = async (pid: string, names: RegExp, stack: AsyncDisposableStack): Promise<PullSide> => {
  const directory = await mkdtemp(join(tmpdir(), 'bench-'));
  stack.defer(() => rm(directory, { recursive: true }));
  const log = join(directory, 'registry.log');
  return {
    ...memory(`/proc/${pid}`),
    directory,
    serve: (storage) => startBeside(pid, { directory, storage, log }, stack),
    cpu: () => cpuOf('/proc', names, pid, true),
    fetched: () => layersIn(log),
    sh: () => Promise.reject(new Error('the floor is measured beside our own')),
  };
};

interface Place {
  readonly directory: string;
  readonly storage: string;
  readonly log: string;
}

const startBeside = async (
  pid: string,
  { directory, storage, log }: Place,
  stack: AsyncDisposableStack,
): Promise<void> => {
  const file = join(directory, 'registry.yml');
  await writeFile(file, configuration(storage));
  const output = await open(log, 'w');
  const enter = ['--target', pid, '--net', '--', 'docker-registry', 'serve', file];
  const child = spawn('nsenter', enter, { stdio: ['ignore', output.fd, 'ignore'], env: systemEnvironment });
  await output.close();
  stack.defer(async () => {
    const closed = once(child, 'close');
    child.kill();
    await closed;
  });
  await sleep(registryStartMs);
};
