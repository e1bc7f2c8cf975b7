import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { decode } from '../api/codec.ts';
import { RawClient } from './raw.ts';
import { quantile } from './samples.ts';
import { ms, table } from './table.ts';
import { podConfig, type Target } from './target.ts';

const rounds = 100;
const crowd = 1000;
const connections = 20;
const visits = 10_000;
const visitors = 20;
/** For what is freed late. */
const restMs = 3000;

interface Pod {
  readonly pod_sandbox_id: string;
  readonly sandbox_config: ReturnType<typeof podConfig>;
}

/** What one state of the daemon looks like from outside, in milliseconds. */
interface Seen {
  /** From the call that makes a container to its event. */
  readonly events: readonly number[];
  /** Of another call. */
  readonly lists: readonly number[];
}

/** One who listens, and sees when containers are told to be created. */
class Witness {
  readonly #waiting = new Map<string, () => void>();
  readonly #early = new Set<string>();

  see(bytes: Buffer): void {
    const event = decode('ContainerEventResponse', bytes);
    if (event.container_event_type !== 'CONTAINER_CREATED_EVENT') return;
    const wake = this.#waiting.get(event.container_id);
    if (wake === undefined) this.#early.add(event.container_id);
    else wake();
  }

  async told(id: string): Promise<void> {
    if (!this.#early.delete(id)) await new Promise<void>((resolve) => this.#waiting.set(id, resolve));
    this.#waiting.delete(id);
  }
}

const watch = async ({ client, image }: Target, raw: RawClient, pod: Pod, witness: Witness): Promise<Seen> => {
  const events: number[] = [];
  const lists: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const config = { metadata: { name: `c${round}`, attempt: 0 }, image: { image }, command: ['true'], log_path: 'c' };
    const started = performance.now();
    const { container_id } = await client.CreateContainer({ ...pod, config });
    await witness.told(container_id);
    events.push(performance.now() - started);
    const asked = performance.now();
    await raw.call('ListContainers', {});
    lists.push(performance.now() - asked);
    await client.RemoveContainer({ container_id });
  }
  return { events, lists };
};

/** The crowd, in a process of its own; what is returned sends it away. */
const gather = async (address: string): Promise<() => Promise<void>> => {
  const program = join(import.meta.dirname, 'crowd.js');
  const child = spawn(process.execPath, [program, address, `${crowd}`, `${connections}`], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'close');
  await Promise.race([once(child.stdout, 'data'), ended]);
  return async () => {
    child.stdin.end();
    await ended;
  };
};

/** Some subscribers that come, are there, and go again, a few at a time. */
const comeAndGo = async (address: string): Promise<void> => {
  let left = visits;
  const visitor = async (): Promise<void> => {
    using raw = new RawClient(address);
    for (; left > 0; left -= 1) {
      const { close } = raw.listen('GetContainerEvents', () => undefined);
      // Calls of one connection are taken in order: it is listening when this is answered.
      await raw.call('Version', {});
      close();
    }
  };
  await Promise.all(Array.from({ length: visitors }, visitor));
};

const rss = async (proc: string): Promise<string> => {
  await sleep(restMs);
  const kib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(await readFile(`${proc}/status`, 'utf8'))?.[1]);
  return `${(kib / 1024).toFixed(1)} MB`;
};

/** What many who listen to events, one who does not read, and many who come and go cost the daemon and the others. */
export const subscribers = async (target: Target, proc: () => string): Promise<void> => {
  using stack = new DisposableStack();
  const raw = stack.use(new RawClient(target.address));
  const sandbox_config = podConfig(target, 'host');
  const pod = { ...(await target.client.RunPodSandbox({ config: sandbox_config })), sandbox_config };
  const witness = new Witness();
  raw.listen('GetContainerEvents', (bytes) => witness.see(bytes));
  const rows: string[][] = [];
  const look = async (what: string): Promise<void> => {
    const { events, lists } = await watch(target, raw, pod, witness);
    const figures = [events, lists].flatMap((all) => [ms(quantile(all, 0.5)), ms(quantile(all, 0.99))]);
    rows.push([what, ...figures, await rss(proc())]);
  };
  await watch(target, raw, pod, witness); // warm
  await look('one subscriber');
  const lazy = stack.use(new RawClient(target.address)).listen('GetContainerEvents');
  await look('and one that reads nothing');
  const leave = await gather(target.address);
  await look(`and ${crowd} others`);
  await leave();
  lazy.close();
  await look('when they have gone');
  await comeAndGo(target.address);
  await look(`after ${visits} came and went`);
  await comeAndGo(target.address);
  await look(`after ${visits} more`);
  await target.client.StopPodSandbox(pod);
  await target.client.RemovePodSandbox(pod);
  console.log(`\nGetContainerEvents, ${rounds} containers made and removed in each row: p50 and p99\n`);
  console.log(table(['', 'to the event', 'p99', 'ListContainers', 'p99', 'RSS'], rows));
};
