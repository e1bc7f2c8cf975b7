import test from 'ava';
import { messageLimit } from '../../api/calls.ts';
import { fitting } from './exec-sync.ts';

const sizes = (stdout: number, stderr: number): [number, number] => {
  const fit = fitting(Buffer.alloc(stdout), Buffer.alloc(stderr));
  return [fit.stdout.length, fit.stderr.length];
};

test('output that fits into one message is given whole', (t) => {
  t.deepEqual(sizes(3, 0), [3, 0]);
  t.deepEqual(sizes(10 << 20, 5 << 20), [10 << 20, 5 << 20]);
});

test('two full streams share one message, one full stream gets what the other leaves', (t) => {
  const [stdout, stderr] = sizes(16 << 20, 16 << 20);
  t.is(stdout, stderr);
  t.true(stdout + stderr <= messageLimit - 1024);
  t.deepEqual(sizes(16 << 20, 100), [messageLimit - 1024 - 100, 100]);
});
