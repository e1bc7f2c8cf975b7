import { median, quantile } from './samples.ts';
import { StreamsTarget } from './streaming/target.ts';
import { ms, ratio, table } from './table.ts';
import type { Target } from './target.ts';

const rounds = 3;
const mega = 1 << 20;
const echoes = 1000;
const echoBytes = 64;
const execs = 50;

type Transfer = (target: StreamsTarget, bytes: number) => Promise<number>;

const transfers: Readonly<Record<string, Transfer>> = {
  'exec stdout, SPDY': (target, bytes) => target.drain('spdy', bytes),
  'exec stdout, WebSocket': (target, bytes) => target.drain('websocket', bytes),
  'exec stdin, SPDY': (target, bytes) => target.fill('spdy', bytes),
  'exec stdin, WebSocket': (target, bytes) => target.fill('websocket', bytes),
  'port-forward from the pod': (target, bytes) => target.drain('portforward', bytes),
  'port-forward to the pod': (target, bytes) => target.fill('portforward', bytes),
};

/** MB/s and CPU seconds a GB of the endpoint's own processes, each the median of a few turns. */
const speeds = async (targets: readonly StreamsTarget[], bytes: number): Promise<void> => {
  const rows: string[][] = [];
  for (const [name, transfer] of Object.entries(transfers)) {
    const found = targets.map(() => ({ speed: [] as number[], cpu: [] as number[] }));
    for (let round = 0; round <= rounds; round += 1)
      for (const [index, target] of targets.entries()) {
        const cpu = await target.cpu(false);
        const milliseconds = await transfer(target, bytes);
        if (round === 0) continue; // both get warm
        found[index]?.speed.push(bytes / 1e3 / milliseconds);
        found[index]?.cpu.push((((await target.cpu(false)) - cpu) / bytes) * 1e9);
      }
    const all = found.map(({ speed, cpu }) => ({ speed: median(speed), cpu: median(cpu) }));
    const [own, other] = all;
    rows.push([
      name,
      ...all.flatMap(({ speed, cpu }) => [speed.toFixed(0), cpu.toFixed(2)]),
      other === undefined || own === undefined ? '' : ratio(other.speed, own.speed),
      other === undefined || own === undefined ? '' : ratio(own.cpu, other.cpu),
    ]);
  }
  console.log(`\nStreams of ${bytes / mega} MiB, ${rounds} rounds in turns: MB/s, CPU seconds a GB (medians)\n`);
  console.log(table(['', ...targets.flatMap(({ name }) => [name, 'CPU']), 'speed', 'CPU'], rows));
};

const trips = async (targets: readonly StreamsTarget[]): Promise<void> => {
  const rows: string[][] = [];
  for (const over of ['spdy', 'websocket'] as const) {
    const found: number[][] = [];
    for (const target of targets) found.push([...(await target.echo(over, echoBytes, echoes))]);
    rows.push([over, ...found.flatMap((all) => [ms(median(all)), ms(quantile(all, 0.99))])]);
  }
  console.log(`\nRound trip of ${echoBytes} bytes through cat, ${echoes} times: p50, p99\n`);
  console.log(table(['', ...targets.flatMap(({ name }) => [name, 'p99'])], rows));
};

const single = async (targets: readonly StreamsTarget[]): Promise<void> => {
  const rows: string[][] = [];
  for (const over of ['spdy', 'websocket'] as const) {
    const found = targets.map(() => ({ wall: [] as number[], cpu: 0 }));
    for (const [index, target] of targets.entries()) {
      for (let done = 0; done < 10; done += 1) await target.end(over);
      const cpu = await target.cpu(true);
      for (let done = 0; done < execs; done += 1) found[index]?.wall.push(await target.end(over));
      const entry = found[index];
      if (entry !== undefined) entry.cpu = (((await target.cpu(true)) - cpu) * 1000) / execs;
    }
    const [own, other] = found;
    rows.push([
      over,
      ...found.flatMap(({ wall, cpu }) => [ms(median(wall)), ms(cpu)]),
      other === undefined || own === undefined ? '' : ratio(median(own.wall), median(other.wall)),
      other === undefined || own === undefined ? '' : ratio(own.cpu, other.cpu),
    ]);
  }
  console.log(`\nExec of true with its RPC, ${execs} one after the other: median wall, CPU of each\n`);
  console.log(table(['', ...targets.flatMap(({ name }) => [name, 'CPU']), 'wall', 'CPU'], rows));
};

/** What streams cost, with the same client in the network namespace of each endpoint. */
export const streams = async (targets: readonly Target[], megabytes: number): Promise<void> => {
  await using stack = new AsyncDisposableStack();
  const all: StreamsTarget[] = [];
  for (const target of targets) {
    const { streaming } = target;
    if (streaming === undefined) console.log(`${target.name}: streams are left out, --peer-pid is not given`);
    else all.push(stack.use(await StreamsTarget.start(target, streaming)));
  }
  await speeds(all, megabytes * mega);
  await trips(all);
  await single(all);
};
