import test from 'ava';
import { parseDuration } from './duration.ts';

test('durations are read as Go writes them', (t) => {
  t.is(parseDuration('12h0m0s'), 43_200_000);
  t.is(parseDuration('1.5h'), 5_400_000);
  t.is(parseDuration('10m'), 600_000);
  t.is(parseDuration('250ms'), 250);
  t.is(parseDuration('0'), 0);
  t.is(parseDuration('0s'), 0);
});

test('what is no duration is none', (t) => {
  for (const text of ['', '5', '-1s', 's', '1 h', '1d', '1h,']) t.is(parseDuration(text), undefined, text);
});
