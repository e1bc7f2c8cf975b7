import test from 'ava';
import { Tokens } from './tokens.ts';

test('a token is good once', (t) => {
  const tokens = new Tokens<string>();
  const token = tokens.give('exec');
  t.is(tokens.take(token), 'exec');
  t.is(tokens.take(token), undefined);
});

test('tokens cannot be guessed: 128 bits, none twice', (t) => {
  const tokens = new Tokens<number>();
  const all = new Set(Array.from({ length: 1000 }, (_, index) => tokens.give(index)));
  t.is(all.size, 1000);
  for (const token of all) t.regex(token, /^[A-Za-z0-9_-]{22}$/);
});

test('after a minute a token is worth nothing', (t) => {
  let now = 0;
  const tokens = new Tokens<string>(() => now);
  const [early, late] = [tokens.give('early'), tokens.give('late')];
  now = 59_999;
  t.is(tokens.take(early), 'early');
  now = 60_000;
  t.is(tokens.take(late), undefined);
});

test('a thousand wait at most; those that are late make room, unknown ones cost nothing', (t) => {
  let now = 0;
  const tokens = new Tokens<number>(() => now);
  for (let count = 0; count < 1000; count += 1) tokens.give(count);
  t.throws(() => tokens.give(1000), { message: /1000 requests wait/ });
  for (let count = 0; count < 10_000; count += 1) t.is(tokens.take(`guess-${count}`), undefined);
  t.is(tokens.size, 1000);
  now = 60_000;
  t.is(tokens.take(tokens.give(1)), 1);
  t.is(tokens.size, 0);
});
