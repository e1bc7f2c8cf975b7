import test from 'ava';
import { Gate } from './gate.ts';

test('one that runs alone waits for those inside, holds up nobody while it waits, and is alone', async (t) => {
  const gate = new Gate();
  const seen: string[] = [];
  const first = Promise.withResolvers<void>();
  const alone = Promise.withResolvers<void>();
  const a = gate.shared(() => first.promise.then(() => seen.push('a')));
  const gc = gate.alone(() => alone.promise.then(() => seen.push('gc')));
  await gate.shared(async () => seen.push('b'));
  t.deepEqual(seen, ['b']);
  first.resolve();
  await a;
  const c = gate.shared(async () => seen.push('c'));
  await new Promise(setImmediate);
  t.deepEqual(seen, ['b', 'a']);
  alone.resolve();
  await Promise.all([gc, c]);
  t.deepEqual(seen, ['b', 'a', 'gc', 'c']);
});

test('an action that fails leaves the gate open', async (t) => {
  const gate = new Gate();
  await t.throwsAsync(gate.alone(() => Promise.reject(new Error('x'))));
  t.is(await gate.shared(async () => 1), 1);
});
