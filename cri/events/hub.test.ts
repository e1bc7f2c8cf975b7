import { setImmediate as nextTurn } from 'node:timers/promises';
import test from 'ava';
import { messageLimit } from '../../api/calls.ts';
import { Encoded } from '../../api/encoded.ts';
import { Frame, type Sink } from '../../api/feed.ts';
import { codeOf } from '../../base/errors.ts';
import { EventHub } from './hub.ts';

const event = (text: string): Frame => new Frame(new Encoded(Buffer.from(text)));

/** A client that takes everything, or nothing until it is told to. */
class Client implements Sink {
  readonly texts: string[] = [];
  /** Of the errors that ended it. */
  code = '';
  readonly #gone = new AbortController();
  #isReading: boolean;
  #onDrain: () => void = () => undefined;

  constructor(hub: EventHub, { isReading = true, isGone = false } = {}) {
    this.#isReading = isReading;
    if (isGone) this.go();
    hub.listen(this, this.#gone.signal).catch((error: unknown) => {
      this.code = error === 'gone' ? 'gone' : codeOf(error);
    });
  }

  write({ bytes }: Frame): boolean {
    this.texts.push(bytes.subarray(5).toString());
    return this.#isReading;
  }

  onDrain(action: () => void): void {
    this.#onDrain = action;
  }

  /** One message, or everything from now on. */
  drain({ isReading = false } = {}): void {
    this.#isReading = isReading;
    this.#onDrain();
  }

  go(): void {
    this.#gone.abort('gone');
  }
}

test('everybody who listens gets every event in order, made once; without listeners it is not made', async (t) => {
  const hub = new EventHub();
  let made = 0;
  const publish = (text: string): void =>
    hub.publish(() => {
      made += 1;
      return event(text);
    });
  publish('before');
  const clients = [new Client(hub), new Client(hub), new Client(hub)];
  for (const text of ['1', '2', '3']) {
    publish(text);
    if (text === '2') clients[2]?.go();
    await nextTurn();
  }
  t.deepEqual(
    clients.map(({ texts }) => texts),
    [
      ['1', '2', '3'],
      ['1', '2', '3'],
      ['1', '2'],
    ],
  );
  t.is(made, 3);
  for (const client of clients) client.go();
  await nextTurn();
  publish('after');
  t.is(made, 3, 'all have gone');
});

test('one who does not read holds nobody up, takes up where it stopped, and is told that it has missed some', async (t) => {
  const hub = new EventHub();
  const slow = new Client(hub, { isReading: false });
  const slower = new Client(hub, { isReading: false });
  const quick = new Client(hub);
  for (let i = 0; i < 5000; i += 1) {
    hub.publish(() => event(`${i}`));
    if (i === 3000) {
      t.deepEqual(slow.texts, ['0']);
      slow.drain();
      t.deepEqual(slow.texts, ['0', '1']);
      slow.drain({ isReading: true });
    }
    if (i % 100 === 0) await nextTurn();
  }
  await nextTurn();
  t.deepEqual([quick.texts.length, slow.texts.length, slower.texts.length], [5000, 5000, 1]);
  t.deepEqual(slow.texts, quick.texts);
  t.deepEqual([quick.code, slow.code, slower.code], ['', '', 'resource-exhausted']);
  slower.drain({ isReading: true });
  t.is(slower.texts.length, 1);
});

test('an event that is larger than a message may be ends those who listen, and not who made it', async (t) => {
  const hub = new EventHub();
  const client = new Client(hub);
  hub.publish(() => new Frame(new Encoded(Buffer.alloc(messageLimit + 1))));
  await nextTurn();
  t.deepEqual([client.code, client.texts.length], ['resource-exhausted', 0]);
});

test('a thousand listeners get every event in order, the first at once, and others have their turn in between', async (t) => {
  const hub = new EventHub();
  const clients = Array.from({ length: 1000 }, () => new Client(hub));
  const texts = ['1', '2', '3', '4'];
  for (const text of texts.slice(0, 2)) hub.publish(() => event(text));
  t.deepEqual(clients[0]?.texts, ['1', '2'], 'who came first does not wait for the others');
  for (const text of texts.slice(2)) {
    await nextTurn();
    t.deepEqual(clients.at(-1)?.texts, []);
    hub.publish(() => event(text));
  }
  let turns = 0;
  for (; clients.some((client) => client.texts.length < texts.length); turns += 1) await nextTurn();
  t.true(turns > 10, `${turns} turns`);
  for (const client of clients) t.deepEqual(client.texts, texts);
});

test('a listener ends with the reason of its signal, and ten thousand that came and went leave nothing', async (t) => {
  const hub = new EventHub();
  const clients = Array.from({ length: 10_000 }, (_, i) => new Client(hub, { isGone: i % 2 === 0 }));
  for (const client of clients) client.go();
  await nextTurn();
  t.deepEqual([...new Set(clients.map(({ code }) => code))], ['gone']);
  let made = 0;
  hub.publish(() => {
    made += 1;
    return event('x');
  });
  t.deepEqual([made, hub.listeners], [0, 0]);
});
