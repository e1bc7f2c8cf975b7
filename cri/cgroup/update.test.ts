import { basename } from 'node:path';
import test from 'ava';
import type { OciResources } from '../../shim/oci.ts';
import type { CgroupMode } from './mode.ts';
import { limitChange } from './update.ts';

const v1: CgroupMode = {
  version: 1,
  hybrid: false,
  hierarchies: ['cpu', 'cpuset', 'memory'].map((name) => ({ mount: `/cg/${name}`, controllers: [name] })),
  unified: undefined,
  swap: true,
};
const v2: CgroupMode = {
  ...v1,
  version: 2,
  hierarchies: [],
  unified: { mount: '/cg', controllers: ['cpu', 'memory'] },
};

const change = (mode: CgroupMode, changed: Partial<OciResources>, now: Readonly<Record<string, string>>) => {
  const { writes, undo } = limitChange(
    mode,
    '/pod/id',
    { devices: [], ...changed },
    (file) => now[basename(file)] ?? '',
  );
  const words = (list: typeof writes) => list.map(({ file, value }) => `${basename(file)} ${value}`);
  return [words(writes), words(undo)] as const;
};

const memoryNow = { 'memory.limit_in_bytes': '100', 'memory.memsw.limit_in_bytes': '150' };
for (const [limit, swap, first] of [
  [200, 250, 'memory.memsw'],
  [200, -1, 'memory.memsw'],
  [50, 60, 'memory.limit'],
  [100, 100, 'memory.limit'],
] as const)
  test(`v1: memory ${limit} and ${swap} with swap: at no time is the second less than the first`, (t) => {
    const [writes, undo] = change(v1, { memory: { limit, swap } }, memoryNow);
    t.regex(writes[0] ?? '', new RegExp(`^${first}`));
    t.deepEqual(
      undo,
      writes
        .map((write) => write.split(' ')[0] ?? '')
        .map((file) => `${file} ${memoryNow[file as keyof typeof memoryNow]}`)
        .toReversed(),
    );
  });

for (const [quota, period, first] of [
  [20_000, 40_000, 'quota'],
  [80_000, 160_000, 'period'],
  [-1, 100_000, 'period'],
] as const)
  test(`v1: cpu ${quota} of ${period}: on the way from 50000 of 100000 the share is at no time the larger`, (t) => {
    const now = { 'cpu.cfs_quota_us': '50000', 'cpu.cfs_period_us': '100000' };
    const [writes] = change(v1, { cpu: { quota, period } }, now);
    t.regex(writes[0] ?? '', new RegExp(first));
    t.is(writes.length, 2);
  });

test('v2: swap comes before the limit, and what was empty is put back as a line', (t) => {
  const changed = { memory: { limit: 10, swap: 30 }, cpu: { quota: 5000, period: 10_000 } };
  const [writes, undo] = change(v2, changed, { 'memory.max': 'max', 'cpu.max': 'max 100000' });
  t.deepEqual(writes, ['memory.swap.max 20', 'memory.max 10', 'cpu.max 5000 10000']);
  t.deepEqual(undo, ['cpu.max max 100000', 'memory.max max', 'memory.swap.max \n']);
});

test('an update touches no device rule and no directory above, and a lacking controller is told by the field', (t) => {
  t.deepEqual(change(v1, { cpu: { cpus: '1' } }, { 'cpuset.cpus': '0' }), [['cpuset.cpus 1'], ['cpuset.cpus 0']]);
  t.throws(() => change(v2, { cpu: { cpus: '1' } }, {}), { code: 'failed-precondition', message: /^cpuset_cpus: / });
  const none = { ...v1, hierarchies: [] };
  for (const changed of [{ cpu: { mems: '0' } }, { cpu: { shares: 5 } }])
    t.throws(() => change(none, changed, {}), { message: /^(cpuset_mems|cpu_shares): .* no cgroup controller/ });
});

test('a file that cannot be read is refused before anything is written: it could not be put back', (t) => {
  const mode = { ...v2, unified: { mount: '/nowhere', controllers: ['memory'] } };
  const changed = { devices: [], unified: { 'memory.nonsense': '1' } };
  t.throws(() => limitChange(mode, '/pod/id', changed), {
    code: 'invalid-argument',
    message: /^unified: memory\.nonsense: /,
  });
});
