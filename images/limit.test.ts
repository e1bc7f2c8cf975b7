import test from 'ava';
import { Limit } from './limit.ts';

const never = new AbortController().signal;

test('no more than the limit run at once, and all of them run', async (t) => {
  const limit = new Limit(2);
  let running = 0;
  let most = 0;
  const action = async (): Promise<void> => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
  };
  await Promise.all(Array.from({ length: 10 }, () => limit.run(never, action)));
  t.is(most, 2);
});

test('one that waits in line and is cancelled gives its place to the next', async (t) => {
  const limit = new Limit(1);
  const gate = Promise.withResolvers<void>();
  const abort = new AbortController();
  const first = limit.run(never, () => gate.promise);
  const second = limit.run(abort.signal, () => Promise.reject(new Error('ran')));
  const third = limit.run(never, () => Promise.resolve('third'));
  abort.abort();
  await t.throwsAsync(second, { message: 'the caller has gone' });
  gate.resolve();
  await first;
  t.is(await third, 'third');
});

test('one that fails gives its place back', async (t) => {
  const limit = new Limit(1);
  await t.throwsAsync(limit.run(never, () => Promise.reject(new Error('x'))));
  t.is(await limit.run(never, () => Promise.resolve(1)), 1);
});

test('a larger limit lets in who waits at once, a smaller one holds until enough have ended', async (t) => {
  const limit = new Limit(1);
  const ends: (() => void)[] = [];
  let running = 0;
  const action = async (): Promise<void> => {
    running += 1;
    await new Promise<void>((resolve) => ends.push(resolve));
    running -= 1;
  };
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const all = Array.from({ length: 6 }, () => limit.run(never, action));
  await turn();
  t.is(running, 1);
  limit.resize(3);
  await turn();
  t.is(running, 3);
  limit.resize(1);
  for (const left of [2, 1]) {
    ends.shift()?.();
    await turn();
    t.is(running, left);
  }
  for (let rest = 4; rest > 0; rest -= 1) {
    t.is(running, 1);
    ends.shift()?.();
    await turn();
  }
  await Promise.all(all);
  t.is(running, 0);
});
