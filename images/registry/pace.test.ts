import test from 'ava';
import { Pace } from './pace.ts';

test('a byte a second is crawling when the time is over, and not before', (t) => {
  const pace = new Pace(60);
  const answers = Array.from({ length: 60 }, () => pace.isCrawling(1, 1000));
  t.deepEqual(answers.indexOf(true), 59);
});

test('enough bytes in one stretch are enough, also when they come at its end', (t) => {
  const pace = new Pace(10);
  for (let at = 0; at < 9; at += 1) t.false(pace.isCrawling(0, 1000));
  t.false(pace.isCrawling(10_240, 1000));
  t.false(pace.isCrawling(1, 9999));
  t.true(pace.isCrawling(1, 1));
});

test('what is not waited for does not count', (t) => {
  const pace = new Pace(1);
  for (let at = 0; at < 1000; at += 1) t.false(pace.isCrawling(1, 0));
});
