import { setTimeout as sleep } from 'node:timers/promises';
import type { RpcName } from '../api/methods.ts';
import { quantile } from './samples.ts';
import type { Side } from './stats.ts';
import { ms, table } from './table.ts';

const probeEveryMs = 7;
const askForMs = 4000;

/** Calls that come while another one is being answered: what holds the daemon holds them. */
export const beside = async (sides: readonly Side[]): Promise<void> => {
  const rows: string[][] = [];
  for (const side of sides)
    for (const name of ['ListContainerStats', 'ListPodSandboxStats', 'ListPodSandboxMetrics'] as const) {
      const waits = await probed(side, name).catch(() => undefined);
      if (waits !== undefined)
        rows.push([`${side.target.name}, ${name}`, ...[0.5, 0.99, 1].map((part) => ms(quantile(waits, part)))]);
    }
  console.log(`\nVersion while another call is answered again and again, for ${askForMs} ms: p50, p99, the longest\n`);
  console.log(table(['', 'p50', 'p99', 'longest'], rows));
};

const probed = async ({ raw }: Side, name: RpcName): Promise<readonly number[]> => {
  const waits: number[] = [];
  const stop = new AbortController();
  const probing = (async () => {
    while (!stop.signal.aborted) {
      const started = performance.now();
      await raw.call('Version', {});
      waits.push(performance.now() - started);
      await sleep(probeEveryMs);
    }
  })();
  probing.catch(() => undefined); // told below
  try {
    for (const end = performance.now() + askForMs; performance.now() < end; ) await raw.call(name, {});
  } finally {
    stop.abort();
    await probing;
  }
  return waits;
};

/** As kubelet does with its feature gate PodAndContainerStatsFromCRI: pods relisted each second, stats and metrics seldom. */
const rhythm: readonly (readonly [RpcName, everyMs: number])[] = [
  ['ListPodSandbox', 1000],
  ['ListContainers', 1000],
  ['ListPodSandboxStats', 10_000],
  ['ListPodSandboxMetrics', 15_000],
  ['ImageFsInfo', 10_000],
];

const subscribers = 3;

/** Shares of one processor. */
export const idle = async (sides: readonly Side[], seconds: number): Promise<void> => {
  const cases: Readonly<Record<string, (side: Side) => Disposable>> = {
    'nobody asks': () => new DisposableStack(),
    'events are listened to, stats were asked for': (side) => {
      const stack = new DisposableStack();
      for (let i = 0; i < subscribers; i += 1) {
        const listening = side.raw.listen('GetContainerEvents', () => undefined);
        stack.defer(() => listening.close());
      }
      for (const [name] of rhythm) void side.raw.call(name, {}).catch(() => undefined);
      return stack;
    },
    'asked as kubelet asks': (side) => {
      const stack = new DisposableStack();
      for (const [name, everyMs] of rhythm) {
        const timer = setInterval(() => void side.raw.call(name, {}).catch(() => undefined), everyMs);
        stack.defer(() => clearInterval(timer));
      }
      return stack;
    },
  };
  const rows: string[][] = [];
  for (const [what, begin] of Object.entries(cases))
    rows.push([what, ...(await Promise.all(sides.map((side) => share(side, begin, seconds))))]);
  console.log(`\nCPU for ${seconds} s each, in per cent of one processor\n`);
  console.log(table(['', ...sides.map(({ target }) => target.name)], rows));
};

const share = async (side: Side, begin: (side: Side) => Disposable, seconds: number): Promise<string> => {
  using _ = begin(side);
  const [cpu, started] = [await side.target.cpu(true), performance.now()];
  await sleep(seconds * 1000);
  const spent = (await side.target.cpu(true)) - cpu;
  return `${((spent / (performance.now() - started)) * 1e5).toFixed(2)} %`;
};
