import { fstatSync } from 'node:fs';
import test from 'ava';
import { isJournal, priorityOf, withPriority } from './journal.ts';

test("pino's levels become the priorities that journalctl -p knows", (t) => {
  t.deepEqual([10, 20, 30, 40, 50, 60].map(priorityOf), [7, 7, 6, 4, 3, 2]);
});

test('every line gets its priority, and no empty one is made', (t) => {
  t.is(withPriority(50, 'berthd: a\nberthd: b\n'), '<3>berthd: a\n<3>berthd: b\n');
  t.is(withPriority(30, '{"level":30}\n'), '<6>{"level":30}\n');
});

test('only the stream that systemd named is the journal', (t) => {
  const { dev, ino } = fstatSync(2);
  t.true(isJournal(2, `${dev}:${ino}`));
  t.false(isJournal(2, `${dev}:${ino + 1}`));
  t.false(isJournal(2, ''));
});
