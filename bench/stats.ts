import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf } from '../base/errors.ts';
import { beside, idle } from './idle.ts';
import { dropPods, makePods } from './pods.ts';
import { RawClient } from './raw.ts';
import { median, quantile } from './samples.ts';
import { bar, ms, ratio, table } from './table.ts';
import type { Target } from './target.ts';

const calls = ['ListContainerStats', 'ListPodSandboxStats', 'ListPodSandboxMetrics', 'ListContainers'] as const;
type Call = (typeof calls)[number];

/** An endpoint with the pods that it runs by now. */
export interface Side {
  readonly target: Target;
  readonly raw: RawClient;
  readonly pods: string[];
}

/** What some calls have taken, all in milliseconds. */
interface Taken {
  readonly wall: number[];
  /** Of the endpoint's own processes, together. */
  cpu: number;
  /** Of an answer. */
  bytes: number;
  /** Why there are no others. */
  failure?: string;
}

const nothing = (): Taken => ({ wall: [], cpu: 0, bytes: 0 });

const blocks = 6;
const blockMs = 1500;
const leastInBlock = 3;
const makers = 10;
/** What starting the pods has left to do must not be counted. */
const restMs = 8000;

const block = async ({ target, raw }: Side, name: Call, into: Taken): Promise<void> => {
  const before = await target.cpu(false);
  const end = performance.now() + blockMs;
  for (let done = 0; done < leastInBlock || performance.now() < end; done += 1) {
    const started = performance.now();
    into.bytes = (await raw.call(name, {})).length;
    into.wall.push(performance.now() - started);
  }
  into.cpu += ((await target.cpu(false)) - before) * 1000;
};

const attempt = async (side: Side, name: Call, into: Taken): Promise<void> => {
  if (into.failure !== undefined) return;
  await block(side, name, into).catch((error: unknown) => {
    into.failure = messageOf(error);
  });
};

/** In turns, so that what else the machine does meets all of them; the first turn makes them warm. */
const measure = async (sides: readonly Side[], name: Call): Promise<readonly Taken[]> => {
  const all = sides.map((side) => ({ side, warm: nothing(), into: nothing() }));
  for (let turn = 0; turn <= blocks; turn += 1)
    for (const { side, warm, into } of all) await attempt(side, name, turn === 0 ? warm : into);
  return all.map(({ into }) => into);
};

const shortFailure = (failure: string): string => failure.replace(/\s+/g, ' ').slice(0, 60);

const cells = ({ wall, cpu, bytes, failure }: Taken): string[] =>
  failure === undefined
    ? [ms(median(wall)), ms(quantile(wall, 0.99)), ms(cpu / wall.length), `${(bytes / 1024).toFixed(0)} KiB`]
    : ['–', '–', '–', '–'];

const report = (count: number, sides: readonly Side[], rows: readonly (readonly [Call, readonly Taken[]])[]): void => {
  console.log(
    `\n${count} pods of one container each, ${blocks} blocks of ${blockMs} ms in turns: p50, p99, CPU of a call\n`,
  );
  const head = sides.flatMap(({ target }) => [target.name, 'p99', 'CPU', 'answer']);
  const body = rows.map(([name, all]) => {
    const [own, other] = all;
    const isBoth = own?.failure === undefined && other?.failure === undefined;
    const ratios =
      isBoth && own && other ? [ratio(median(own.wall), median(other.wall)), ratio(ofEach(own), ofEach(other))] : [];
    return [name, ...all.flatMap(cells), ...ratios];
  });
  console.log(table(['', ...head, 'wall', 'CPU'], body));
  for (const [name, all] of rows)
    for (const [index, { failure }] of all.entries())
      if (failure !== undefined) console.log(`${name} of ${sides[index]?.target.name} fails: ${shortFailure(failure)}`);
  chart(sides, rows);
};

const ofEach = ({ cpu, wall }: Taken): number => cpu / wall.length;

/** The medians as bars, the longest of all as wide as the chart. */
const chart = (sides: readonly Side[], rows: readonly (readonly [Call, readonly Taken[]])[]): void => {
  const all = rows
    .flatMap(([, taken]) => taken.map(({ wall }) => median(wall)))
    .filter((value) => !Number.isNaN(value));
  const most = Math.max(...all);
  console.log();
  for (const [name, taken] of rows)
    for (const [index, { wall }] of taken.entries())
      if (wall.length > 0)
        console.log(
          `${(index === 0 ? name : '').padEnd(22)} ${(sides[index]?.target.name ?? '').padEnd(18)} ${bar(median(wall), most)} ${ms(median(wall))}`,
        );
};

/** Lists, statistics and metrics of so many containers, and what the daemons take while nobody asks, or as kubelet asks. */
export const stats = async (
  targets: readonly Target[],
  counts: readonly number[],
  idleSeconds: number,
): Promise<void> => {
  using stack = new DisposableStack();
  const sides = targets.map((target): Side => ({ target, raw: stack.use(new RawClient(target.address)), pods: [] }));
  try {
    for (const count of counts) await measureAll(sides, count, idleSeconds);
  } finally {
    for (const { target, pods } of sides) await dropPods(target, pods, makers);
  }
};

const measureAll = async (sides: readonly Side[], count: number, idleSeconds: number): Promise<void> => {
  for (const { target, pods } of sides) pods.push(...(await makePods(target, 'cni', count - pods.length, makers)));
  await sleep(restMs);
  const rows: (readonly [Call, readonly Taken[]])[] = [];
  for (const name of calls) rows.push([name, await measure(sides, name)]);
  report(count, sides, rows);
  await beside(sides);
  if (idleSeconds > 0) await idle(sides, idleSeconds);
};
