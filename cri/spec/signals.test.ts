import { constants } from 'node:os';
import test from 'ava';
import { Signal } from '../../api/generated/types.ts';
import { criSignal, signalNumber, stopSignal, stopSignalName } from './signals.ts';

test('names, with and without SIG, and numbers are the kernel’s signals', (t) => {
  for (const [name, number] of Object.entries(constants.signals)) {
    t.is(signalNumber(name, 'x'), number);
    t.is(signalNumber(name.slice(3).toLowerCase(), 'x'), number);
    t.is(signalNumber(String(number), 'x'), number);
  }
});

test('real-time signals count from 34 and from 64', (t) => {
  const texts = ['SIGRTMIN', 'RTMIN+3', 'sigrtmin+15', 'SIGRTMAX', 'SIGRTMAX-14', 'RTMIN+30'];
  t.deepEqual(
    texts.map((text) => signalNumber(text, 'x')),
    [34, 37, 49, 64, 50, 64],
  );
});

for (const text of [
  '',
  'SIG',
  'SIGFOO',
  '0',
  '65',
  '-9',
  '9 ',
  '1e1',
  'SIGRTMIN+31',
  'SIGRTMAX-31',
  'SIGRTMIN-1',
  'SIGRTMAX+1',
  'RTMIN+',
  'TERM\n',
])
  test(`${JSON.stringify(text)} is not a signal`, (t) => {
    t.throws(() => signalNumber(text, 'image StopSignal'), { code: 'invalid-argument' });
  });

test('every CRI signal has the number of its name, and the name comes back for it', (t) => {
  for (const name of Object.keys(Signal).filter((key): key is Signal => key in Signal)) {
    const number = criSignal(name);
    t.is(criSignal(Signal[name]), number);
    if (number !== undefined) t.is(criSignal(stopSignalName(number)), number);
  }
  t.is(criSignal('SIGNAL_SIGRTMAXMINUS1'), 63);
  t.is(criSignal('SIGNAL_SIGUSR1'), 10);
  t.is(stopSignalName(15), 'SIGNAL_SIGTERM');
});

test('the request’s signal goes before the image’s, and TERM is what is left', (t) => {
  t.is(stopSignal('SIGNAL_SIGINT', 'SIGQUIT'), 2);
  t.is(stopSignal('SIGNAL_RUNTIME_DEFAULT', 'SIGQUIT'), 3);
  t.is(stopSignal(undefined, ''), 15);
  t.throws(() => stopSignal(undefined, 'nonsense'), { message: /image StopSignal/ });
  t.throws(() => stopSignal(66, ''), { code: 'invalid-argument' });
});
