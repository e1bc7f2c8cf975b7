import test from 'ava';
import { parseChallenges } from './challenge.ts';

const plain = (header: string): unknown =>
  parseChallenges(header).map(({ scheme, parameters }) => [scheme, Object.fromEntries(parameters)]);

test('a bearer challenge gives realm, service and a scope with a comma in it', (t) => {
  const header =
    'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"';
  t.deepEqual(plain(header), [
    ['bearer', { realm: 'https://auth.example/token', service: 'registry.example', scope: 'repository:a/b:pull,push' }],
  ]);
});

test('two challenges in one header are told apart', (t) => {
  t.deepEqual(plain('Basic realm="x", Bearer realm="https://a.example/t", error=invalid_token'), [
    ['basic', { realm: 'x' }],
    ['bearer', { realm: 'https://a.example/t', error: 'invalid_token' }],
  ]);
});

test('quoted pairs are undone and names are case-insensitive', (t) => {
  t.deepEqual(plain('BEARER Realm = "a\\"b"'), [['bearer', { realm: 'a"b' }]]);
});

test('the second parameter of the same name changes nothing', (t) => {
  t.deepEqual(plain('Bearer realm="a",realm="b"'), [['bearer', { realm: 'a' }]]);
});

test('a scheme without parameters is a challenge', (t) => {
  t.deepEqual(plain('Negotiate, Basic realm=x'), [
    ['negotiate', {}],
    ['basic', { realm: 'x' }],
  ]);
});

test('what follows a malformed part is left out', (t) => {
  t.deepEqual(plain('Basic realm="x", "Bearer realm=y'), [['basic', { realm: 'x' }]]);
  t.deepEqual(plain('realm="x"'), []);
  t.deepEqual(plain(''), []);
});

test('a header of 100 KB is read in no time', (t) => {
  const begun = process.cpuUsage();
  parseChallenges(`Bearer ${'a="'.repeat(33_000)}`);
  const { user, system } = process.cpuUsage(begun);
  t.true(user + system < 1_000_000, `${user + system} µs`);
});
