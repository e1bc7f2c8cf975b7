import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { BerthError } from '../../base/errors.ts';
import { parseRetryAfter, retrying, temporary } from './temporary.ts';

const never = new AbortController().signal;
const policy = { tries: 3, pauseMs: 1, longestMs: 1000 };
const failing = (times: number, error: () => Error) => {
  let calls = 0;
  return {
    calls: () => calls,
    action: (): Promise<number> => {
      calls += 1;
      return calls <= times ? Promise.reject(error()) : Promise.resolve(calls);
    },
  };
};
const passing = (): Error => temporary(new BerthError('unavailable', 'later'));

test('a failure that may pass is tried again', async (t) => {
  const { action } = failing(2, passing);
  t.is(await retrying(action, policy, never), 3);
});

test('the tries are bounded', async (t) => {
  const { action, calls } = failing(99, passing);
  await t.throwsAsync(retrying(action, policy, never), { message: 'later' });
  t.is(calls(), 3);
});

test('any other failure is final', async (t) => {
  const { action, calls } = failing(99, () => new BerthError('not-found', 'gone'));
  await t.throwsAsync(retrying(action, policy, never), { message: 'gone' });
  t.is(calls(), 1);
});

test('a wait longer than the longest is not waited for', async (t) => {
  const { action, calls } = failing(99, () => temporary(new BerthError('unavailable', 'later'), 1001));
  await t.throwsAsync(retrying(action, policy, never));
  t.is(calls(), 1);
});

test('pauses are drawn by lot, from half of what they should be to half more', async (t) => {
  const lot = Math.random;
  const order: number[] = [];
  const pause = async (drawn: number): Promise<number> => {
    Math.random = () => drawn;
    const begun = performance.now();
    await retrying(failing(1, passing).action, { tries: 2, pauseMs: 200, longestMs: 1000 }, never);
    order.push(drawn);
    return performance.now() - begun;
  };
  try {
    // What a loaded machine adds makes a pause longer, and the first has the earlier end whatever is added.
    const shortest = pause(0);
    await new Promise(setImmediate);
    const longest = pause(0.999);
    t.true((await shortest) > 98);
    t.true((await longest) > 298);
    t.deepEqual(order, [0, 0.999]);
  } finally {
    Math.random = lot;
  }
});

test('cancellation ends the pause', async (t) => {
  const abort = new AbortController();
  const { action } = failing(99, () => temporary(new BerthError('unavailable', 'later'), 90_000));
  const trying = retrying(action, { ...policy, longestMs: 90_000 }, abort.signal);
  setTimeout(() => abort.abort(), 20);
  t.is(
    await Promise.race([trying.catch((error: Error) => error.name), sleep(60_000, 'waits', { ref: false })]),
    'AbortError',
  );
});

test('Retry-After is read in seconds and as a date, and nonsense is no wait', (t) => {
  t.is(parseRetryAfter('7', 0), 7000);
  t.is(parseRetryAfter('Thu, 01 Jan 1970 00:00:09 GMT', 1000), 8000);
  t.is(parseRetryAfter('Thu, 01 Jan 1970 00:00:09 GMT', 10_000), 0);
  for (const text of [undefined, '', 'soon', '-5', '99999999999999']) t.is(parseRetryAfter(text, 0), 0);
});
