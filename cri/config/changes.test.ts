import test from 'ava';
import { changesOf, inWords, reloaded } from './changes.ts';
import { parseConfig } from './load.ts';
import { keys } from './schema.ts';

const held = parseConfig('registry.plain_http = ["a"]\nroot = "/old"', 'c');

test('what is the same is no change, also when it is written otherwise', (t) => {
  t.deepEqual(changesOf(held, parseConfig('root = "/old/"\n[registry]\nplain_http = [ "a", ]', 'c')), []);
});

test('each key that differs is told with both values, and whether it waits for a restart', (t) => {
  const read = parseConfig('registry.plain_http = ["a", "b"]\nroot = "/new"\nexec.output_limit = "4MiB"', 'c');
  t.deepEqual(changesOf(held, read).map(inWords), [
    'configuration: root: "/old" → "/new" needs a restart of berthd; until then "/old" holds',
    'configuration: registry.plain_http: ["a"] → ["a", "b"]',
    'configuration: exec.output_limit: 16777216 → 4194304',
  ]);
});

test('what holds afterwards has the new values of the keys that can change, and the old ones of the others', (t) => {
  const read = parseConfig('state = "/new"\nlog_level = "warn"\n[registry]\nstall_seconds = 5', 'c');
  const next = reloaded(held, read);
  t.like(next, { root: '/old', state: held.state, listen: held.listen, log_level: 'warn' });
  t.like(next.registry, { stall_seconds: 5, plain_http: [] });
  t.true(changesOf(next, read).every(({ needsRestart }) => needsRestart));
});

test('where the daemon keeps its things, and where it listens, never changes while it runs', (t) => {
  const fixed = keys.filter(({ reload }) => !reload).map(({ name }) => name);
  for (const name of ['root', 'state', 'listen', 'streaming.address', 'streaming.port'])
    t.true(fixed.includes(name), name);
});
