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
  /** From the call that makes a container to its event, at who came first and at who came last. */
  readonly first: readonly number[];
  readonly last: readonly number[];
  /** Of another call. */
  readonly lists: readonly number[];
}

/** One who listens, and sees when containers are told to be created and deleted. */
class Witness {
  readonly #waiting = new Map<string, () => void>();
  readonly #early = new Set<string>();

  see(bytes: Buffer): void {
    const event = decode('ContainerEventResponse', bytes);
    const what = `${event.container_event_type} ${event.container_id}`;
    const wake = this.#waiting.get(what);
    if (wake === undefined) this.#early.add(what);
    else wake();
  }

  async told(id: string, kind: 'CREATED' | 'DELETED'): Promise<void> {
    const what = `CONTAINER_${kind}_EVENT ${id}`;
    if (!this.#early.delete(what)) await new Promise<void>((resolve) => this.#waiting.set(what, resolve));
    this.#waiting.delete(what);
  }
}

type Witnesses = Readonly<Record<'first' | 'last', Witness>>;

/** The list is asked for while the others are told; the next round begins when all have been. */
const watch = async ({ client, image }: Target, raw: RawClient, pod: Pod, witnesses: Witnesses): Promise<Seen> => {
  const seen = { first: [] as number[], last: [] as number[], lists: [] as number[] };
  for (let round = 0; round < rounds; round += 1) {
    const config = { metadata: { name: `c${round}`, attempt: 0 }, image: { image }, command: ['true'], log_path: 'c' };
    const started = performance.now();
    const { container_id } = await client.CreateContainer({ ...pod, config });
    const told = async (which: 'first' | 'last'): Promise<void> => {
      await witnesses[which].told(container_id, 'CREATED');
      seen[which].push(performance.now() - started);
    };
    const toldLast = told('last');
    await told('first');
    const asked = performance.now();
    await raw.call('ListContainers', {});
    seen.lists.push(performance.now() - asked);
    await Promise.all([toldLast, client.RemoveContainer({ container_id })]);
    await witnesses.last.told(container_id, 'DELETED');
  }
  return seen;
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
  const witnesses = { first: new Witness(), last: new Witness() };
  raw.listen('GetContainerEvents', (bytes) => witnesses.first.see(bytes));
  const other = stack.use(new RawClient(target.address));
  const rows: string[][] = [];
  const look = async (what: string): Promise<void> => {
    const latest = other.listen('GetContainerEvents', (bytes) => witnesses.last.see(bytes));
    await other.call('Version', {});
    const { first, last, lists } = await watch(target, raw, pod, witnesses);
    latest.close();
    const figures = [first, last, lists].flatMap((all) => [ms(quantile(all, 0.5)), ms(quantile(all, 0.99))]);
    rows.push([what, ...figures, await rss(proc())]);
  };
  await look('(warming)');
  await look('two subscribers');
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
  console.log(table(['', 'to the first', 'p99', 'to the last', 'p99', 'ListContainers', 'p99', 'RSS'], rows));
};
