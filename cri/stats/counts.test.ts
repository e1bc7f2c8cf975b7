import test from 'ava';
import { countIn, Keys } from './counts.ts';

const whole = (found: string): bigint | undefined => countIn(Buffer.from(found), 0, found.length);

test('a count in bytes is a whole number to the last digit, or nothing', (t) => {
  t.is(whole('0\n'), 0n);
  t.is(whole('42'), 42n);
  t.is(whole('9007199254740993\n'), 9007199254740993n);
  t.is(whole('18446744073709551615\n'), 18446744073709551615n);
  for (const found of ['', '\n', 'max\n', '-1', '1.5', '1 2', '0x10', '1\n\n', '9'.repeat(21)])
    t.is(whole(found), undefined, found);
});

test('the numbers of a flat-keyed file are those of whole keys, in the order that is asked for, wherever they stand', (t) => {
  const keys = new Keys('rss', 'total_rss', 'anon', 'cache', 'odd');
  const file = 'cache 7\ntotal_rss 18446744073709551615\nrss_huge 3\n\nodd\nrss 4096\nxanon 1\nanonx 2\nanon max';
  t.deepEqual(keys.in(Buffer.from(file), file.length), [4096n, 18446744073709551615n, undefined, 7n, undefined]);
  t.deepEqual(new Keys('a').in(Buffer.from('a 1'), 3), [1n]);
  t.deepEqual(new Keys('a').in(Buffer.from('a 12'), 3), [1n], 'no further than the length');
  t.deepEqual(new Keys('a').in(Buffer.from('a 1'), -1), [undefined]);
});
