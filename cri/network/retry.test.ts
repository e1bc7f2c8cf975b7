import { setTimeout as delay } from 'node:timers/promises';
import test from 'ava';
import { RetryQueue } from './retry.ts';

test('a key is tried until its attempt succeeds, an error counts as a failure, and the wait doubles', async (t) => {
  const times: number[] = [];
  const queue = new RetryQueue(async () => {
    times.push(performance.now());
    if (times.length === 1) throw new Error('no');
    return times.length === 3;
  }, 20);
  queue.add('a');
  queue.add('a');
  for (let waits = 0; waits < 100 && times.length < 3; waits += 1) await delay(20);
  await delay(200);
  t.is(times.length, 3);
  t.is(queue.size, 0);
  t.true((times[2] ?? 0) - (times[1] ?? 0) > 60);
});

test('a key that is dropped, and all after close, are not tried', async (t) => {
  let tries = 0;
  const queue = new RetryQueue(async () => {
    tries += 1;
    return false;
  }, 10);
  queue.add('a');
  queue.drop('a');
  queue.add('b');
  await queue.close();
  queue.add('c');
  await delay(50);
  t.is(tries, 0);
});
