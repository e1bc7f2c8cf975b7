import test from 'ava';
import { parseReport } from './report.ts';

const report = (...words: string[]): Buffer => Buffer.from(words.map((word) => `${word}\0`).join(''));

test('a layer that is whole needs no fix-up', (t) => {
  const parsed = parseReport(report('root', '755', '0', '0', 'entries', '3', 'bytes', '10', 'end'), 'x');
  t.like(parsed, { entries: 3, bytes: 10, hardlinks: 0, isOpaque: false });
  t.is(parsed.records.length, 0);
});

test('a layer with an invented parent keeps its records', (t) => {
  const bytes = report('parent', 'tmp', 'hardlink', 'a', 'b', 'opaque-root', 'entries', '1', 'bytes', '0', 'end');
  t.like(parseReport(bytes, 'x'), { hardlinks: 1, records: bytes });
});

test('the root of a layer has the mode that is written in octal', (t) => {
  const { root } = parseReport(report('root', '1777', '12', '4294967294', 'end'), 'x');
  t.deepEqual(root, { mode: 0o1777, uid: 12, gid: 4294967294 });
});

test('a layer that says nothing of its root has none', (t) => {
  t.is(parseReport(report('entries', '1', 'end'), 'x').root, undefined);
});

test('a layer that hides all below it is opaque', (t) => {
  t.true(parseReport(report('opaque-root', 'end'), 'x').isOpaque);
});

test('a path that is spelled like a keyword is a path', (t) => {
  t.is(
    parseReport(report('parent', 'end', 'parent', 'hardlink', 'entries', '1', 'bytes', '0', 'end'), 'x').hardlinks,
    0,
  );
});

for (const [name, bytes] of [
  ['without an end', report('entries', '1')],
  ['cut in a field', report('entries', '1', 'parent')],
  ['with an unknown keyword', report('surprise', 'end')],
  ['with a mode that is not octal', report('root', '789', '0', '0', 'end')],
  ['with an owner that is no number', report('root', '755', 'x', '0', 'end')],
  ['that is empty', Buffer.alloc(0)],
  ['that is missing', undefined],
] as const)
  test(`a report ${name} is an error`, (t) => {
    t.throws(() => parseReport(bytes, 'x'), { message: /cut off/ });
  });
