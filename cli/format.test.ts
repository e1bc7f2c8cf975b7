import test from 'ava';
import { age, plain, shortId, size, table } from './format.ts';
import { bar } from './progress.ts';

test('columns are as wide as their widest cell and lines have no blank at the end', (t) => {
  t.is(
    table(
      ['A', 'NAME'],
      [
        ['long cell', 'x'],
        ['ü', ''],
      ],
    ),
    'A          NAME\nlong cell  x\nü\n',
  );
});

test('a table without rows is its header', (t) => {
  t.is(table(['A', 'B'], []), 'A  B\n');
});

test('sizes have the largest unit that is at least one', (t) => {
  t.deepEqual([0, 1023, 1024, 1536, 150 * 1024, 5n * 1024n ** 3n].map(size), [
    '0 B',
    '1023 B',
    '1.0 KiB',
    '1.5 KiB',
    '150 KiB',
    '5.0 GiB',
  ]);
});

test('an age has one unit, 0 is not an age and the future is now', (t) => {
  const now = 1_700_000_000_000;
  const ago = (seconds: number): bigint => BigInt(now - seconds * 1000) * 1_000_000n;
  t.deepEqual(
    [0, 59, 60, 3599, 3600, 86_400 * 3].map((seconds) => age(ago(seconds), now)),
    ['0s', '59s', '1m', '59m', '1h', '3d'],
  );
  t.is(age(0n, now), '-');
  t.is(age(ago(-100), now), '0s');
});

test('ids and digests are cut to twelve letters', (t) => {
  t.is(shortId(`sha256:${'a'.repeat(64)}`), 'a'.repeat(12));
  t.is(shortId('b'.repeat(64)), 'b'.repeat(12));
});

test('what an image is called cannot move the cursor', (t) => {
  t.is(plain('a\u001b[2Kb\nc\u202e'), 'a?[2Kb?c?');
});

const event = {
  digest: `sha256:${'c'.repeat(64)}`,
  offset: 0n,
  total: 0n,
  phase: 'DOWNLOADING',
  image_id: '',
} as const;

test('a bar is empty without a total, half at half, full when done, and never wider than the terminal', (t) => {
  t.regex(bar(event, 200), /^c{12} {2}downloading {5}\[ {30}\]/);
  t.regex(bar({ ...event, offset: 512n, total: 1024n }, 200), /\[={14}> {15}\] {2}512 B \/ 1\.0 KiB$/);
  t.regex(bar({ ...event, offset: 9n, total: 1024n, phase: 'DONE' }, 200), /done .*\[={30}\] {2}1\.0 KiB$/);
  t.is(bar({ ...event, offset: 2048n, total: 1024n }, 40).length, 39);
});
