import { Samples } from './samples.ts';
import { ms, ratio, table } from './table.ts';
import type { Target } from './target.ts';

const pull = async ({ client, big = '' }: Target, into: Samples): Promise<void> => {
  await into.take(() => client.PullImage({ image: { image: big } }, { timeoutMs: 300_000 }));
  await client.RemoveImage({ image: { image: big } });
};

/** The big image from a registry on this machine, in turns, removed after each pull. */
export const pulls = async (targets: readonly Target[], rounds: number): Promise<void> => {
  const able = targets.filter(({ big }) => big !== undefined).map((target) => ({ target, samples: new Samples() }));
  for (let round = 0; round < rounds; round += 1) for (const { target, samples } of able) await pull(target, samples);
  const own = able[0]?.samples;
  const rows = able.map(({ target, samples }) => [
    target.name,
    ms(samples.wall),
    ms(samples.cpu),
    own === undefined ? '' : ratio(own.wall, samples.wall),
    own === undefined ? '' : ratio(own.cpu, samples.cpu),
  ]);
  console.log(`\nPull of 217 MB in five layers, ${rounds} rounds\n`);
  console.log(table(['', 'wall', 'CPU', 'wall', 'CPU'], rows));
};
