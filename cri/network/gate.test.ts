import test from 'ava';
import { Gate } from './gate.ts';

const never = new AbortController().signal;

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

test('who runs alone soon is let in when those inside have left, however many come meanwhile, and they come after it', async (t) => {
  const gate = new Gate();
  const seen: string[] = [];
  const first = Promise.withResolvers<void>();
  const a = gate.shared(() => first.promise.then(() => seen.push('a')));
  const gc = gate.alone(async () => seen.push('gc'));
  const soon = gate.aloneSoon(async () => seen.push('soon'), never);
  const later = [1, 2, 3].map((turn) => gate.shared(async () => seen.push(`${turn}`)));
  await new Promise(setImmediate);
  t.deepEqual(seen, []);
  first.resolve();
  await Promise.all([a, gc, soon, ...later]);
  t.deepEqual(seen, ['a', 'soon', '1', '2', '3', 'gc']);
});

test('one slow call inside holds up those who come after who runs alone soon for a bounded time', async (t) => {
  const gate = new Gate(20);
  const slow = Promise.withResolvers<void>();
  const inside = gate.shared(() => slow.promise);
  let isDone = false;
  const soon = gate.aloneSoon(async () => {
    isDone = true;
  }, never);
  for (let turn = 0; turn < 3; turn += 1) await gate.shared(async () => t.false(isDone));
  slow.resolve();
  await Promise.all([inside, soon]);
  t.true(isDone);
  await gate.shared(async () => t.pass());
});

test('who has gone keeps no place: those behind it are let in at once, and it is never done', async (t) => {
  const gate = new Gate(3_600_000);
  const slow = Promise.withResolvers<void>();
  const inside = gate.shared(() => slow.promise);
  const gone = new AbortController();
  let isDone = false;
  const soon = gate.aloneSoon(async () => {
    isDone = true;
  }, gone.signal);
  const behind = gate.shared(async () => 'let in');
  gone.abort(new Error('the caller has gone'));
  await t.throwsAsync(soon, { message: 'the caller has gone' });
  t.is(await behind, 'let in');
  await t.throwsAsync(
    gate.aloneSoon(async () => t.fail(), gone.signal),
    { message: 'the caller has gone' },
  );
  slow.resolve();
  await inside;
  t.is(await gate.aloneSoon(async () => 'alone', never), 'alone');
  t.false(isDone);
});
