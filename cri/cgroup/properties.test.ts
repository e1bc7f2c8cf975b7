import test from 'ava';
import { limitProperties, notKept, scopeProperties } from './properties.ts';

const of = (file: string, value: string) => limitProperties([{ file: `/sys/fs/cgroup/a/${file}`, value }]);
const infinity = 2n ** 64n - 1n;

test('each file that systemd writes is a property with the same value', (t) => {
  t.deepEqual(of('memory.max', '1048576'), [['MemoryMax', 't', 1_048_576n]]);
  t.deepEqual(of('memory.high', '32M'), [['MemoryHigh', 't', 32n << 20n]]);
  t.deepEqual(of('memory.swap.max', 'max'), [['MemorySwapMax', 't', infinity]]);
  t.deepEqual(of('memory.swap.max', '0'), [['MemorySwapMax', 't', 0n]]);
  t.deepEqual(of('cpu.weight', '59'), [['CPUWeight', 't', 59n]]);
  t.deepEqual(of('cpu.idle', '1'), [['CPUWeight', 't', 0n]]);
  t.deepEqual(of('pids.max', '1000'), [['TasksMax', 't', 1000n]]);
  t.deepEqual(of('io.weight', 'default 77'), [['IOWeight', 't', 77n]]);
  t.deepEqual(of('cpuset.cpus', '0-1,9'), [['AllowedCPUs', 'ay', Buffer.from([0b11, 0b10])]]);
  t.deepEqual(of('cpuset.mems', ''), [['AllowedMemoryNodes', 'ay', Buffer.alloc(0)]]);
});

test('a quota is a share of a second, rounded up to a hundredth of one', (t) => {
  const quota = (value: string) => of('cpu.max', value).map(([, , number]) => number);
  t.deepEqual(quota('20000 50000'), [400_000n, 50_000n]);
  t.deepEqual(quota('12345 100000'), [130_000n, 100_000n]);
  t.deepEqual(quota('max 100000'), [infinity, 100_000n]);
  t.deepEqual(quota('5000'), [50_000n, 100_000n]);
});

test('what systemd does not know or would refuse is in the files alone', (t) => {
  const files = ['hugetlb.2MB.max', 'io.max', 'memory.oom.group', 'cpu.max.burst', 'misc.max'];
  t.deepEqual(
    files.flatMap((file) => of(file, '1')),
    [],
  );
  t.deepEqual([...of('memory.max', '0'), ...of('pids.max', '0'), ...of('cpu.weight', '10001')], []);
  t.deepEqual([...of('memory.high', 'a lot'), ...of('cpu.idle', '0'), ...of('cpu.max', 'x')], []);
});

test('systemd loses what it rounds, refuses or has no word for, and keeps the rest', (t) => {
  const lost = {
    'memory.oom.group': '1',
    'memory.zswap.max': '4096',
    'memory.zswap.writeback': '0',
    'io.bfq.weight': '321',
    'cpu.max': '12345 100000',
    'pids.max': '0',
    'io.weight': '8:0 50',
    'cpu.idle': '0',
  };
  const kept = { 'memory.max': '4096', 'cpu.weight': '7', 'cpuset.cpus': '0', 'pids.max': '7', 'io.weight': '50' };
  const others = { 'cpu.max.burst': '5', 'io.max': '8:0 rbps=5', 'hugetlb.2MB.max': '0', 'memory.swap.high': '5' };
  const files = (values: object) =>
    notKept(Object.entries(values).map(([name, value]) => ({ file: `/c/${name}`, value }))).map(({ file }) => file);
  t.deepEqual(
    files(lost),
    Object.keys(lost).map((name) => `/c/${name}`),
  );
  t.deepEqual([...files(kept), ...files(others)], []);
  for (const value of ['max 100000', '20000 50000', '5000', '-1 100000'])
    t.is(files({ 'cpu.max': value }).length, value.startsWith('-') ? 1 : 0, value);
});

test('the last write of a file is the property, as it is the file’s value', (t) => {
  const writes = ['1', '2'].map((value) => ({ file: '/c/cpu.weight', value }));
  t.deepEqual(limitProperties(writes), [['CPUWeight', 't', 2n]]);
});

test('a scope without a limit of processes has none of systemd’s', (t) => {
  const wish = { description: 'd', slice: 'a.slice', pid: 7, after: 'b.service', stopSignal: 3, stopSeconds: 5 };
  const tasks = (writes: { file: string; value: string }[]) =>
    scopeProperties({ ...wish, writes }).filter(([name]) => name === 'TasksMax');
  t.deepEqual(tasks([]), [['TasksMax', 't', infinity]]);
  t.deepEqual(tasks([{ file: '/c/pids.max', value: '9' }]), [['TasksMax', 't', 9n]]);
  t.deepEqual(
    scopeProperties({ ...wish, writes: [] }).find(([name]) => name === 'TimeoutStopUSec'),
    ['TimeoutStopUSec', 't', 5_000_000n],
  );
});

test('a container’s name is one line of its scope’s description, whatever is in it', (t) => {
  const wish = { slice: 'a.slice', pid: 7, after: 'b.service', stopSignal: 3, stopSeconds: 5, writes: [] };
  const of = (description: string) => scopeProperties({ ...wish, description })[0]?.[2];
  t.is(of('web\n[Scope]\nMemoryMax=1\0\u2028'), 'web?[Scope]?MemoryMax=1?\u2028');
  t.is(of(`web ${'\u{1f600}'.repeat(4000)}`)?.toString().length, 200);
});
