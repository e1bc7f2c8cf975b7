import { setImmediate as nextTurn } from 'node:timers/promises';
import test from 'ava';
import { Encoded } from '../../api/encoded.ts';
import { codeOf } from '../../base/errors.ts';
import { EventHub } from './hub.ts';

const event = (text: string): Encoded => new Encoded(Buffer.from(text));
const textOf = ({ bytes }: Encoded): string => Buffer.from(bytes).toString();

/** Reads so many, and then ends as a client that goes. */
const read = async (hub: EventHub, count: number): Promise<string[]> => {
  const texts: string[] = [];
  for await (const one of hub.listen(new AbortController().signal)) if (texts.push(textOf(one)) === count) break;
  return texts;
};

test('everybody who listens gets every event in order, encoded once; without listeners it is not encoded', async (t) => {
  const hub = new EventHub();
  let encoded = 0;
  const publish = (text: string): void =>
    hub.publish(() => {
      encoded += 1;
      return event(text);
    });
  publish('before');
  const all = Promise.all([read(hub, 3), read(hub, 3), read(hub, 2)]);
  for (const text of ['1', '2', '3']) publish(text);
  t.deepEqual(await all, [
    ['1', '2', '3'],
    ['1', '2', '3'],
    ['1', '2'],
  ]);
  t.is(encoded, 3);
  publish('after');
  t.is(encoded, 3, 'all have gone');
});

test('one who does not read holds nobody up, and is told that it has missed some', async (t) => {
  const hub = new EventHub();
  const slow = hub.listen(new AbortController().signal);
  const first = slow.next();
  const quick = read(hub, 5001);
  hub.publish(() => event('first'));
  t.is(textOf((await first).value), 'first');
  for (let i = 0; i < 5000; i += 1) {
    hub.publish(() => event(`${i}`));
    if (i % 100 === 0) await nextTurn();
  }
  t.is((await quick).length, 5001);
  t.is(codeOf(await slow.next().catch((error: unknown) => error)), 'resource-exhausted');
  t.true((await slow.next()).done);
});

test('a thousand listeners get every event in order, and others have their turn in between', async (t) => {
  const hub = new EventHub();
  const events = ['1', '2', '3', '4'];
  const all = Array.from({ length: 1000 }, () => read(hub, events.length));
  await nextTurn();
  let ready = 0;
  for (const one of all) void one.then(() => (ready += 1));
  for (const text of events.slice(0, 2)) hub.publish(() => event(text));
  let turns = 0;
  const ended = Promise.all(all);
  for (const text of events.slice(2)) {
    await nextTurn();
    t.is(ready, 0);
    hub.publish(() => event(text));
  }
  for (; ready < all.length; turns += 1) await nextTurn();
  t.true(turns > 10, `${turns} turns`);
  for (const texts of await ended) t.deepEqual(texts, events);
});

test('a listener ends with the reason of its signal, and ten thousand that came and went leave nothing', async (t) => {
  const hub = new EventHub();
  let encoded = 0;
  for (let i = 0; i < 10_000; i += 1) {
    const gone = new AbortController();
    const listener = hub.listen(gone.signal);
    const next = listener.next();
    gone.abort('gone');
    t.is(await next.catch((reason: unknown) => reason), 'gone');
  }
  hub.publish(() => {
    encoded += 1;
    return event('x');
  });
  t.is(encoded, 0);
});
