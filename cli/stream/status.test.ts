import test from 'ava';
import { exitCodeOf } from './status.ts';

test('Success is 0, and a non-zero exit is the code in its cause', (t) => {
  t.is(exitCodeOf('{"metadata":{},"status":"Success"}'), 0);
  const details = { causes: [{ reason: 'ExitCode', message: '42' }] };
  t.is(exitCodeOf(JSON.stringify({ status: 'Failure', reason: 'NonZeroExitCode', details })), 42);
});

test('another failure is an error with its message', (t) => {
  t.throws(() => exitCodeOf('{"status":"Failure","message":"no such thing"}'), { message: 'no such thing' });
  const details = { causes: [{ reason: 'ExitCode', message: 'many' }] };
  t.throws(() => exitCodeOf(JSON.stringify({ status: 'Failure', reason: 'NonZeroExitCode', details })), {
    message: 'the session failed',
  });
});

test('what is no Status is an error that shows it', (t) => {
  t.throws(() => exitCodeOf('oops'), { message: /not a Status: "oops"/ });
  t.throws(() => exitCodeOf('null'), { message: /not a Status/ });
});
