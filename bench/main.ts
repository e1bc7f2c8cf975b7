import { mkdir } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { messageOf } from '../base/errors.ts';
import { execs } from './exec.ts';
import { Interruption } from './left.ts';
import { removePods, runPods } from './pods.ts';
import { pulls } from './pull.ts';
import { containerdPulls, ownPulls } from './pull-side.ts';
import { calls, emptySequence, runSequence, type Sequence } from './sequence.ts';
import { stats } from './stats.ts';
import { streams } from './streams.ts';
import { subscribers } from './subscribers.ts';
import { ms, ratio, table } from './table.ts';
import { ownTarget, peerTarget, type Target } from './target.ts';

const usage = `npm run bench [-- --peer unix:///run/containerd/containerd.sock --peer-image REF] [--peer-big REF] [--rounds 50] [--pods 50] [--pulls 3] [--containerd /usr/bin] [--containers 10,100,500] [--idle 30] [--only streams,…]
Starts berthd in a world of its own and measures it; with --peer a second endpoint too, in turns within one run.
Streams are compared when --peer-pid names a process in the peer's network and mount namespaces; pulls with the containerd
in the directory that --containerd names, which runs in worlds of its own.
Parts (--only): sequences, execs, streams, crowd, pulls, stats, subscribers.`;

const { values } = parseArgs({
  options: {
    peer: { type: 'string' },
    'peer-image': { type: 'string' },
    'peer-logs': { type: 'string', default: '/tmp/bench-logs' },
    'peer-pid': { type: 'string' },
    containerd: { type: 'string' },
    only: { type: 'string' },
    'stream-mb': { type: 'string', default: '512' },
    rounds: { type: 'string', default: '50' },
    pulls: { type: 'string', default: '3' },
    pods: { type: 'string', default: '50' },
    containers: { type: 'string', default: '10,100,500' },
    idle: { type: 'string', default: '30' },
    help: { type: 'boolean', default: false },
  },
});

/** Rounds that are not counted: both daemons get warm. */
const warmUp = 10;

const sequences = async (targets: readonly Target[], network: 'cni' | 'host', rounds: number): Promise<void> => {
  const samples = targets.map(emptySequence);
  for (let round = 0; round < warmUp; round += 1)
    for (const target of targets) await runSequence(target, network, emptySequence());
  for (let round = 0; round < rounds; round += 1)
    for (const [index, target] of targets.entries()) {
      const into = samples[index];
      if (into !== undefined) await runSequence(target, network, into);
    }
  console.log(
    `\nEach call in sequence, network ${network}, ${rounds} rounds: median wall, median CPU of the machine\n`,
  );
  console.log(
    table(['call', ...targets.flatMap(({ name }) => [name, 'CPU']), 'wall', 'CPU'], calls.map(rowOf(samples))),
  );
};

const rowOf =
  (samples: readonly Sequence[]) =>
  (call: (typeof calls)[number]): string[] => {
    const found = samples.map((sequence) => sequence.get(call)).filter((one) => one !== undefined);
    const [own, other] = found;
    const ratios = own === undefined ? [] : [ratio(own.wall, other?.wall), ratio(own.cpu, other?.cpu)];
    return [call, ...found.flatMap((one) => [ms(one.wall), ms(one.cpu)]), ...ratios];
  };

const crowd = async (target: Target, network: 'cni' | 'host', count: number): Promise<void> => {
  const { pods, seconds, memory } = await runPods(target, network, count, 10);
  const total = [...memory.values()].reduce((sum, kib) => sum + kib, 0);
  console.log(`\n${target.name}: ${count} pods, 10 at a time, network ${network}: ${seconds.toFixed(2)} s`);
  console.log(
    table(
      ['PSS a pod', 'KiB'],
      [...[...memory].map(([name, kib]) => [name, kib.toFixed(1)]), ['all', total.toFixed(1)]],
    ),
  );
  if (target.restart !== undefined) {
    const started = performance.now();
    await target.restart();
    console.log(`restart with ${count} pods, from kill -9 to the first answer: ${ms(performance.now() - started)}`);
  }
  console.log(`stop and remove one after the other: ${(await removePods(target, pods)).toFixed(2)} s`);
};

const main = async (interruption: Interruption): Promise<void> => {
  if (values.help) return console.log(usage);
  await using stack = new AsyncDisposableStack();
  const targets = [await ownTarget(stack, 'info')];
  if (values.peer !== undefined) {
    await mkdir(values['peer-logs'], { recursive: true });
    targets.push(
      await peerTarget(
        values.peer,
        values['peer-image'] ?? targets[0]?.image ?? '',
        values['peer-logs'],
        values['peer-pid'],
        stack,
      ),
    );
  }
  for (const [name, part] of Object.entries(partsOf(targets)))
    if (values.only === undefined || values.only.split(',').includes(name)) await interruption.race(part);
};

const partsOf = (targets: readonly Target[]): Readonly<Record<string, () => Promise<void>>> => ({
  sequences: async () => {
    for (const network of ['host', 'cni'] as const) await sequences(targets, network, Number(values.rounds));
    for (const own of targets.slice(0, 1))
      await sequences(
        [{ ...own, name: 'with a user namespace', userNamespaces: true }, own],
        'host',
        Number(values.rounds),
      );
  },
  execs: () => execs(targets, 7),
  streams: () => streams(targets, Number(values['stream-mb'])),
  crowd: async () => {
    for (const target of targets) await crowd(target, 'cni', Number(values.pods));
  },
  pulls: () => {
    const { containerd } = values;
    const peers =
      containerd === undefined ? [] : [false, true].map((isSynced) => containerdPulls(containerd, isSynced));
    return pulls([ownPulls, ...peers], Number(values.pulls));
  },
  stats: () => stats(targets, values.containers.split(',').map(Number), Number(values.idle)),
  subscribers: async () => {
    for (const target of targets) if (target.proc !== undefined) await subscribers(target, target.proc);
  },
});

await using interruption = new Interruption();
await main(interruption).catch((error: unknown) => {
  console.error(`bench: ${messageOf(error)}`);
  process.exitCode = 1;
});
