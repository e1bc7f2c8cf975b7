import test from 'ava';
import { leftOnMachine } from './left.ts';

/** Once a file, for what has no suite's daemon: at the file's end nothing of its test process is on the machine. */
export const leavesNothing = (): void =>
  test.after.always('nothing is left on the machine', async (t) => {
    t.deepEqual(await leftOnMachine(process.pid), []);
  });
