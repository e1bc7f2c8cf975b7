import test from 'ava';
import { SharedFlights } from './flights.ts';

const never = new AbortController().signal;
const quiet = (): void => undefined;
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('those who ask while it runs share one flight and its progress', async (t) => {
  const flights = new SharedFlights<number, string>();
  const gate = Promise.withResolvers<void>();
  let flown = 0;
  const heard: string[] = [];
  const action = async ({ report }: { report: (event: string) => void }): Promise<number> => {
    flown += 1;
    report('begun');
    await gate.promise;
    return flown;
  };
  const first = flights.join('k', never, (event) => heard.push(`1 ${event}`), action);
  await turn();
  const second = flights.join('k', never, (event) => heard.push(`2 ${event}`), action);
  gate.resolve();
  t.deepEqual(await Promise.all([first, second]), [1, 1]);
  t.deepEqual(heard, ['1 begun', '2 begun']);
});

test('the flight is aborted only when the last passenger has gone', async (t) => {
  const flights = new SharedFlights<void, never>();
  let isAborted = false;
  const action = ({ signal }: { signal: AbortSignal }): Promise<void> =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        isAborted = true;
        reject(signal.reason);
      });
    });
  const [a, b] = [new AbortController(), new AbortController()];
  const first = flights.join('k', a.signal, quiet, action);
  const second = flights.join('k', b.signal, quiet, action);
  await turn();
  a.abort();
  await t.throwsAsync(first);
  t.false(isAborted);
  b.abort();
  await t.throwsAsync(second);
  t.true(isAborted);
});

test('the last passenger leaves when the flight has been undone', async (t) => {
  const flights = new SharedFlights<void, never>();
  let isUndone = false;
  const abort = new AbortController();
  const flying = flights.join('k', abort.signal, quiet, async ({ signal }) => {
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    await turn();
    isUndone = true;
    throw new Error('aborted');
  });
  await turn();
  abort.abort();
  await t.throwsAsync(flying);
  t.true(isUndone);
});

test("a joiner tries for itself when another's flight fails, and the failed caller gets its own error", async (t) => {
  const flights = new SharedFlights<string, never>();
  const gate = Promise.withResolvers<void>();
  const first = flights.join('k', never, quiet, async () => {
    await gate.promise;
    throw new Error('bad credentials');
  });
  const second = flights.join('k', never, quiet, () => Promise.resolve('well'));
  gate.resolve();
  await t.throwsAsync(first, { message: 'bad credentials' });
  t.is(await second, 'well');
});

test('those who would do the same share the failure as well: nobody tries again', async (t) => {
  const flights = new SharedFlights<string, never>();
  const gate = Promise.withResolvers<void>();
  let flown = 0;
  const action = async (): Promise<string> => {
    flown += 1;
    await gate.promise;
    throw new Error('the registry is down');
  };
  const all = Array.from({ length: 20 }, () => flights.join('k', never, quiet, action, 'same'));
  const other = flights.join('k', never, quiet, () => Promise.resolve('well'), 'other');
  gate.resolve();
  for (const one of all) await t.throwsAsync(one, { message: 'the registry is down' });
  t.is(await other, 'well');
  t.is(flown, 1);
});

test('a caller that has gone already starts nothing', async (t) => {
  const flights = new SharedFlights<void, never>();
  await t.throwsAsync(
    flights.join('k', AbortSignal.abort(), quiet, () => Promise.reject(new Error('started'))),
    {
      message: 'the caller has gone',
    },
  );
});
