import test from 'ava';
import type { Runtime } from '../runtime.ts';
import { type Checked, inWords, readiness } from './checks.ts';
import { isRemote, parseEndpoint } from './endpoint.ts';
import { EventLoopDelay } from './event-loop.ts';

const checked = (over: Partial<Record<'agent' | 'network' | 'daemon' | 'state', string>>): Checked =>
  ({
    config: { state: over.state ?? '/tmp', root: '/tmp' },
    agent: { check: async () => over.agent },
    network: { status: () => ({ ready: over.network === undefined, message: over.network ?? '' }) },
    notServing: () => over.daemon,
  }) as unknown as Pick<Runtime, 'config' | 'agent' | 'network'> & Checked;

test('each check fails alone, with its reason', async (t) => {
  for (const name of ['agent', 'network', 'daemon'] as const) {
    const failed = (await readiness(checked({ [name]: 'because' }))).filter(({ problem }) => problem !== undefined);
    t.deepEqual(failed, [{ name, problem: 'because' }]);
  }
});

test('a directory that is not there, or cannot be written to, is not ready', async (t) => {
  const problem = async (state: string) =>
    (await readiness(checked({ state }))).find(({ name }) => name === 'state')?.problem;
  t.is(await problem('/tmp'), undefined);
  t.regex((await problem('/no/such/place')) ?? '', /ENOENT/);
  t.regex((await problem('/sys')) ?? '', /EROFS|no space is left/);
});

test('checks are told a line each, and the sum', (t) => {
  const checks = [
    { name: 'a', problem: undefined },
    { name: 'b', problem: 'broken' },
  ];
  t.is(inWords('readyz', checks), '[+]a ok\n[-]b failed: broken\nreadyz check failed');
  t.is(inWords('readyz', checks.slice(0, 1)), '[+]a ok\nreadyz check passed');
});

test('an endpoint is an IP address and a port', (t) => {
  t.deepEqual(parseEndpoint('127.0.0.1:9464'), { host: '127.0.0.1', port: 9464 });
  t.deepEqual(parseEndpoint('[::1]:1'), { host: '::1', port: 1 });
  for (const wrong of [
    '127.0.0.1',
    '127.0.0.1:0',
    '127.0.0.1:65536',
    '::1:9464',
    '[127.0.0.1]:1',
    'localhost:1',
    '1.2.3:4',
    ':1',
  ])
    t.is(parseEndpoint(wrong), undefined, wrong);
});

test('what is not of the loopback is remote', (t) => {
  const remote = ['0.0.0.0:1', '[::]:1', '10.0.0.1:1', '128.0.0.1:1', '[::2]:1', '[fe80::1]:1'];
  for (const address of remote) t.true(isRemote(address), address);
  for (const address of ['127.0.0.1:1', '127.255.255.254:1', '[::1]:1', 'unix:///x', ''])
    t.false(isRemote(address), address);
});

test('a block of the event loop shows as its delay, and nothing is sampled before the first question', async (t) => {
  using delay = new EventLoopDelay();
  t.deepEqual(delay.read(), []);
  await new Promise((resolve) => setTimeout(resolve, 250));
  const end = performance.now() + 400;
  while (performance.now() < end);
  await new Promise((resolve) => setTimeout(resolve, 250));
  const values = new Map(delay.read());
  const longest = values.get(100) ?? 0;
  t.true(longest > 0.2 && longest < 5, `${longest}`);
  t.true((values.get(50) ?? -1) >= 0 && (values.get(50) ?? 1) <= longest);
});
