import test from 'ava';
import { parseNetDevices } from './net-devices.ts';
import { limitOf, parseCount, parseKeyed, parsePressure } from './parse.ts';
import { CpuRates } from './rates.ts';
import { wireIo } from './wire.ts';

test('a flat-keyed file gives its numbers, and lines that are none are left out', (t) => {
  const values = parseKeyed('anon 4096\nfile 18446744073709551615\n\nodd\nword max\n');
  t.deepEqual(
    [...values],
    [
      ['anon', 4096n],
      ['file', 18446744073709551615n],
    ],
  );
});

test('a count is a whole number or nothing', (t) => {
  t.is(parseCount('42\n'), 42n);
  for (const text of [undefined, '', 'max\n', '-1', '1.5', '1 2', '0x10', '9'.repeat(21)])
    t.is(parseCount(text), undefined);
});

test('no limit is none, in the words of v2 and in the number of v1', (t) => {
  t.is(limitOf(1048576n), 1048576n);
  t.is(limitOf(parseCount('max\n')), undefined);
  t.is(limitOf(9223372036854771712n), undefined);
});

test('a pressure file gives both kinds of stalls, and without "full" zeros for it', (t) => {
  const some = 'some avg10=1.50 avg60=0.20 avg300=0.01 total=12345\n';
  const full = 'full avg10=0.50 avg60=0.10 avg300=0.00 total=99\n';
  t.deepEqual(parsePressure(some + full), {
    some: { total: 12345n, avg10: 1.5, avg60: 0.2, avg300: 0.01 },
    full: { total: 99n, avg10: 0.5, avg60: 0.1, avg300: 0 },
  });
  t.is(parsePressure(some)?.full.total, 0n);
  for (const text of [undefined, '', full, 'some avg10=1.50\n']) t.is(parsePressure(text), undefined);
});

const headings = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
`;

test('/proc/net/dev gives every interface but loopback, also with an alias or a long name', (t) => {
  const lines = [
    '    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0',
    '  eth0: 18446744073709551615  20    3    4    0     0          0         0     2000      30    5    6    0     0       0          0',
    'eth0:1:       1       2    3    4    0     0          0         0        5       6    7    8    0     0       0          0',
  ];
  const devices = parseNetDevices(`${headings}${lines.join('\n')}\n`);
  t.deepEqual(
    devices.map(({ name }) => name),
    ['eth0', 'eth0:1'],
  );
  t.deepEqual(devices[0], {
    name: 'eth0',
    rxBytes: 18446744073709551615n,
    rxPackets: 20n,
    rxErrors: 3n,
    rxDropped: 4n,
    txBytes: 2000n,
    txPackets: 30n,
    txErrors: 5n,
    txDropped: 6n,
  });
  t.deepEqual(parseNetDevices(''), []);
});

const second = 1_000_000_000n;
test('pressure is told in nanoseconds, as CRI has it, of what the kernel counts in microseconds', (t) => {
  const io = parsePressure(
    'some avg10=1.50 avg60=0.20 avg300=0.03 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n',
  );
  const none = { steadyAt: 1n, cpu: undefined, memory: undefined };
  const wired = wireIo({ at: 1n, ...none, pressure: { cpu: undefined, memory: undefined, io } });
  t.deepEqual(wired?.psi?.Some, { Total: 7000n, Avg10: 1.5, Avg60: 0.2, Avg300: 0.03 });
  t.is(wired?.psi?.Full?.Total, 5000n);
});

const at = (seconds: bigint, cpuSeconds: bigint) => ({ steadyAt: seconds * second, cpu: cpuSeconds * second });

test('a rate is that since the sampling before the last one, however often it is asked for', (t) => {
  const rates = new CpuRates();
  rates.sampled(new Map([['/a', at(10n, 1n)]]));
  rates.sampled(new Map([['/a', at(15n, 2n)]]));
  for (let i = 0; i < 3; i += 1) t.is(rates.nanoCores('/a', at(20n, 6n)), second / 2n);
  rates.sampled(new Map([['/a', at(20n, 6n)]]));
  t.is(rates.nanoCores('/a', at(21n, 8n)), second);
});

test('before there were two samplings the rate is that since the start', (t) => {
  const rates = new CpuRates();
  rates.born('/a', 10n * second);
  t.is(rates.nanoCores('/a', at(12n, 4n)), 2n * second);
  rates.sampled(new Map([['/a', at(13n, 9n)]]));
  t.is(rates.nanoCores('/a', at(14n, 8n)), 2n * second);
  rates.sampled(new Map([['/a', at(18n, 10n)]]));
  t.is(rates.nanoCores('/a', at(19n, 12n)), second / 2n);
});

test('what starts while a sampling is under way has its rate all the same', (t) => {
  const rates = new CpuRates();
  rates.born('/a', 10n * second);
  rates.sampled(new Map());
  t.is(rates.nanoCores('/a', at(12n, 4n)), 2n * second);
});

test('after a restart of the daemon the rate of what has run for long is not that of its whole life', (t) => {
  const rates = new CpuRates();
  t.is(rates.nanoCores('/a', at(10_000n, 10n)), undefined);
  rates.sampled(new Map([['/a', at(10_001n, 11n)]]));
  t.is(rates.nanoCores('/a', at(10_003n, 13n)), second);
});

test('there is no rate over less than a second, without a past, and of a cgroup that was made anew', (t) => {
  const rates = new CpuRates();
  t.is(rates.nanoCores('/a', at(12n, 4n)), undefined);
  rates.born('/b', 10n * second);
  t.is(rates.nanoCores('/b', { steadyAt: 10n * second + 999_999_999n, cpu: 1n }), undefined);
  rates.sampled(new Map([['/a', at(10n, 9n)]]));
  t.is(rates.nanoCores('/a', at(12n, 4n)), undefined);
  rates.sampled(new Map());
  rates.sampled(new Map());
  t.is(rates.nanoCores('/a', at(99n, 99n)), undefined);
});
