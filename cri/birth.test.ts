import test from 'ava';
import { birthIn } from './birth.ts';
import { now, type Runtime } from './runtime.ts';

type Things = Pick<Runtime, 'sandboxes' | 'containers'>;

const hour = 3_600_000_000_000n;

const config = (name: string) => ({ metadata: { name, namespace: 'default', uid: `uid of ${name}`, attempt: 0 } });
const sandbox = (id: string, name: string, createdAt: bigint) => ({
  id,
  config: config(name),
  record: { createdAt: `${createdAt}` },
});
const container = (sandboxId: string, createdAt: bigint) => ({ record: { sandboxId, createdAt: `${createdAt}` } });

const setUp = (sandboxes: readonly object[], containers: readonly object[] = []) => {
  const things = { sandboxes: { values: () => sandboxes }, containers: { values: () => containers } };
  return things as unknown as Things;
};

const birth = (things: Things, name: string): bigint =>
  BigInt(birthIn(things, config(name) as Parameters<typeof birthIn>[1]));

test('it is the time, while the clock is past all that was made', (t) => {
  const before = now();
  const things = setUp([sandbox('a', 'one', before - hour)], [container('a', before - 1n)]);
  const found = birth(things, 'one');
  t.true(found >= before && found <= now());
});

test('where the clock was set back it is later than all of the same pod, each time, and of other pods the time', (t) => {
  const future = now() + hour;
  const sandboxes = [sandbox('a', 'one', future), sandbox('b', 'two', now() - hour)];
  const containers = [container('a', future + 5n), container('b', now() - hour)];
  const things = setUp(sandboxes, containers);
  t.is(birth(things, 'one'), future + 6n);
  containers.push(container('a', future + 6n));
  t.is(birth(things, 'one'), future + 7n);
  t.true(birth(things, 'two') <= now());
  t.true(birth(things, 'new') <= now());
});

test('two that are made in one moment, or later than the last, follow each other', (t) => {
  const sandboxes: object[] = [];
  const things = setUp(sandboxes);
  let last = 0n;
  for (let i = 0; i < 1000; i += 1) {
    const at = birth(things, 'one');
    t.true(at > last);
    last = at;
    sandboxes.push(sandbox(`${i}`, 'one', at));
  }
});
