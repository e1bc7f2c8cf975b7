import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { step } from '../../base/step.ts';
import type { Log } from '../log.ts';
import { StuckWork } from './stuck.ts';

const recorder = () => {
  const lines: string[] = [];
  const note = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
  return { lines, log: { debug: note, info: note, warn: note, error: note } as unknown as Log };
};

test.serial('a step is stuck once it takes longer than its bound, and told once until it ends', async (t) => {
  const { log, lines } = recorder();
  using stuck = new StuckWork(log, 0.05, 10);
  const end = Promise.withResolvers<void>();
  const running = step('write records/<id>', () => end.promise, { stage: 'write', object: '/records/1' });
  t.deepEqual([...stuck.counts()], []);
  await sleep(120);
  t.deepEqual([...stuck.counts()], [['write', 1]]);
  end.resolve();
  await running;
  t.deepEqual([...stuck.counts()], [['write', 0]], 'the series stays');
  await sleep(40);
  t.deepEqual(lines, [
    'work is stuck: write {"stage":"write","object":"/records/1","seconds":0}',
    'work was stuck and has ended: write {"stage":"write","object":"/records/1","seconds":0}',
  ]);
});

test.serial('a step that fails is not in progress any more', async (t) => {
  using stuck = new StuckWork(recorder().log, 0.01, 1000);
  const failing = step('cni x ADD', async () => {
    await sleep(30);
    throw new Error('no');
  });
  await sleep(20);
  t.deepEqual([...stuck.counts()], [['cni x ADD', 1]]);
  await t.throwsAsync(failing);
  t.deepEqual([...stuck.counts()], [['cni x ADD', 0]]);
});

test.serial(
  'what takes long by nature has a multiple of the bound, and what ends when its user wants none',
  async (t) => {
    using stuck = new StuckWork(recorder().log, 0.02, 1000);
    const end = Promise.withResolvers<void>();
    const running = ['exec', 'unpack layer', 'remove', 'supervise'].map((name) => step(name, () => end.promise));
    await sleep(60);
    t.deepEqual([...stuck.counts()], [['supervise', 1]]);
    await sleep(180);
    t.deepEqual([...stuck.counts()].toSorted(), [
      ['remove', 1],
      ['supervise', 1],
    ]);
    end.resolve();
    await Promise.all(running);
  },
);
