import test from 'ava';
import { containerResources, oomScoreAdj } from './resources.ts';
import type { LinuxResources } from './types.ts';

const made = (request: LinuxResources, pids = 0) => containerResources(request, [], { pids });
const MiB = 1 << 20;

test('what is not asked for is not limited', (t) => {
  t.deepEqual(made({}), { devices: [], memory: {}, cpu: {}, hugepageLimits: [], unified: {} });
});

test('limits keep their units', (t) => {
  const request = {
    cpu_period: 100000n,
    cpu_quota: 50000n,
    cpu_shares: 512n,
    memory_limit_in_bytes: BigInt(64 * MiB),
    cpuset_cpus: '0-1,3',
    cpuset_mems: '0',
  };
  const { cpu, memory, pids } = made(request, 100);
  t.deepEqual(cpu, { shares: 512, quota: 50000, period: 100000, cpus: '0-1,3', mems: '0' });
  t.deepEqual(memory, { limit: 64 * MiB, swap: 64 * MiB });
  t.deepEqual(pids, { limit: 100 });
});

test('without a word about swap there is none, -1 is no limit', (t) => {
  t.is(made({ memory_limit_in_bytes: 8 * MiB, memory_swap_limit_in_bytes: 9 * MiB }).memory?.swap, 9 * MiB);
  t.is(made({ memory_limit_in_bytes: 8 * MiB, memory_swap_limit_in_bytes: -1 }).memory?.swap, -1);
});

test('a limit that no JSON number holds is the largest that one does', (t) => {
  t.is(made({ memory_limit_in_bytes: 9223372036854771712n }).memory?.limit, Number.MAX_SAFE_INTEGER);
});

const refused: readonly LinuxResources[] = [
  { memory_limit_in_bytes: -2 },
  { memory_limit_in_bytes: 4096 },
  { memory_swap_limit_in_bytes: 8 * MiB },
  { memory_limit_in_bytes: 8 * MiB, memory_swap_limit_in_bytes: 4 * MiB },
  { cpu_shares: -1 },
  { cpu_quota: -2 },
  { cpu_quota: 10 },
  { cpu_period: 10 },
  { cpu_period: 2_000_000 },
  { cpuset_cpus: '3-1' },
  { cpuset_cpus: '0,' },
  { cpuset_cpus: '0\n1' },
  { cpuset_mems: '-1' },
  { cpuset_mems: '0 1' },
  { hugepage_limits: [{ page_size: '../x', limit: 1 }] },
  { hugepage_limits: [{ page_size: '2MB', limit: -1 }] },
  { unified: { 'cgroup.procs': '1' } },
  { unified: { '../memory.max': '1' } },
  { unified: { memory: '1' } },
  { unified: { 'memory.max': '1\n2' } },
  { unified: { 'memory.max': '0' } },
  { unified: { 'memory.max': ' 4K ' } },
  { unified: { 'memory.high': '' } },
  { unified: { 'memory.high': ' ' } },
];
for (const request of refused)
  test(`${JSON.stringify(request)} is refused by name`, (t) => {
    const field = Object.keys(request).at(-1) ?? '';
    t.throws(() => made(request), { code: 'invalid-argument', message: new RegExp(field) });
  });

test('hugepage limits and unified files pass as they are', (t) => {
  const { hugepageLimits, unified } = made({
    hugepage_limits: [{ page_size: '2MB', limit: 4n }],
    unified: { 'memory.oom.group': '1', 'hugetlb.2MB.rsvd.max': '0' },
  });
  t.deepEqual(hugepageLimits, [{ pageSize: '2MB', limit: 4 }]);
  t.deepEqual(unified, { 'memory.oom.group': '1', 'hugetlb.2MB.rsvd.max': '0' });
});

test('oom_score_adj is within the kernel’s bounds, and untouched without resources', (t) => {
  t.is(oomScoreAdj(undefined), undefined);
  t.is(oomScoreAdj({}), 0);
  t.is(oomScoreAdj({ oom_score_adj: -1000n }), -1000);
  for (const oom_score_adj of [-1001, 1001])
    t.throws(() => oomScoreAdj({ oom_score_adj }), { code: 'invalid-argument' });
});
