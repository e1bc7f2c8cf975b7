import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { step } from '../../base/step.ts';
import type { Log } from '../log.ts';
import { StuckWork } from './stuck.ts';
import { StandingClock } from './testing/standing-clock.ts';

const recorder = () => {
  const lines: string[] = [];
  const note = (fields: object, message: string): void => void lines.push(`${message} ${JSON.stringify(fields)}`);
  return { lines, log: { debug: note, info: note, warn: note, error: note } as unknown as Log };
};

const until = async (done: () => boolean): Promise<void> => {
  for (let look = 0; look < 2000 && !done(); look += 1) await sleep(5);
};

test.serial('a step is stuck once it takes longer than its bound, and told once until it ends', async (t) => {
  using clock = new StandingClock();
  const { log, lines } = recorder();
  using stuck = new StuckWork(log, 5, 10);
  const end = Promise.withResolvers<void>();
  const running = step('write records/<id>', () => end.promise, { stage: 'write', object: '/records/1' });
  clock.pass(4999);
  t.deepEqual([...stuck.counts()], []);
  clock.pass(1);
  t.deepEqual([...stuck.counts()], [['write', 1]]);
  await until(() => lines.length > 0);
  await sleep(40);
  clock.pass(2500);
  end.resolve();
  await running;
  t.deepEqual([...stuck.counts()], [['write', 0]], 'the series stays');
  await until(() => lines.length > 1);
  await sleep(40);
  t.deepEqual(lines, [
    'work is stuck: write {"stage":"write","object":"/records/1","seconds":5}',
    'work was stuck and has ended: write {"stage":"write","object":"/records/1","seconds":7}',
  ]);
});

test.serial('a step that fails is not in progress any more', async (t) => {
  using clock = new StandingClock();
  using stuck = new StuckWork(recorder().log, 1, 1000);
  const end = Promise.withResolvers<void>();
  const failing = step('cni x ADD', () => end.promise);
  clock.pass(1000);
  t.deepEqual([...stuck.counts()], [['cni x ADD', 1]]);
  end.reject(new Error('no'));
  await t.throwsAsync(failing, { message: 'no' });
  t.deepEqual([...stuck.counts()], [['cni x ADD', 0]]);
});

test.serial(
  'what takes long by nature has a multiple of the bound, and what ends when its user wants none',
  async (t) => {
    using clock = new StandingClock();
    using stuck = new StuckWork(recorder().log, 1, 1000);
    const end = Promise.withResolvers<void>();
    const running = ['exec', 'unpack layer', 'remove', 'supervise'].map((name) => step(name, () => end.promise));
    clock.pass(9999);
    t.deepEqual([...stuck.counts()], [['supervise', 1]]);
    clock.pass(1);
    t.deepEqual([...stuck.counts()].toSorted(), [
      ['remove', 1],
      ['supervise', 1],
    ]);
    clock.pass(50_000);
    t.deepEqual([...stuck.counts()].toSorted(), [
      ['remove', 1],
      ['supervise', 1],
      ['unpack layer', 1],
    ]);
    end.resolve();
    await Promise.all(running);
  },
);
