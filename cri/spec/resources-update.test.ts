import test from 'ava';
import { containerResources } from './resources.ts';
import { changedResources, resourcesInForce, updatedResources } from './resources-update.ts';
import type { LinuxResources } from './types.ts';

const MiB = 1 << 20;
const counted = { swap: true, hugetlb: true };
const inForce = (request: LinuxResources, by = counted) =>
  resourcesInForce(containerResources(request, [], {}), Number(request.oom_score_adj ?? 0), by);

/** What is in force after both, one after the other. */
const after = (first: LinuxResources, second: LinuxResources) => inForce(updatedResources(inForce(first), second));

test('0 and empty leave what is set, also where the value is a zero in words', (t) => {
  const set = { cpu_shares: 512, cpuset_cpus: '1', cpuset_mems: '0', cpu_quota: 5000, unified: { 'memory.low': '1' } };
  t.deepEqual(after(set, {}), inForce(set));
  t.deepEqual(after(set, { cpu_shares: 0n, cpuset_cpus: '', unified: {} }), inForce(set));
  t.is(after(set, { cpuset_cpus: '0' }).cpuset_cpus, '0');
});

const swaps: readonly (readonly [LinuxResources, LinuxResources, number])[] = [
  [{ memory_limit_in_bytes: 8 * MiB }, { memory_limit_in_bytes: 9 * MiB }, 9 * MiB],
  [
    { memory_limit_in_bytes: 8 * MiB, memory_swap_limit_in_bytes: 10 * MiB },
    { memory_limit_in_bytes: 9 * MiB },
    11 * MiB,
  ],
  [{ memory_limit_in_bytes: 8 * MiB, memory_swap_limit_in_bytes: -1 }, { memory_limit_in_bytes: 9 * MiB }, -1],
  [{ memory_limit_in_bytes: 8 * MiB, memory_swap_limit_in_bytes: 10 * MiB }, { memory_limit_in_bytes: -1 }, -1],
  [{ memory_limit_in_bytes: -1 }, { memory_limit_in_bytes: 9 * MiB }, 9 * MiB],
  [{}, { memory_limit_in_bytes: 9 * MiB }, 9 * MiB],
  [{ memory_limit_in_bytes: 8 * MiB }, { memory_swap_limit_in_bytes: 9 * MiB }, 9 * MiB],
];
for (const [first, second, swap] of swaps)
  test(`swap: ${JSON.stringify(first)}, then ${JSON.stringify(second)}: ${swap} with memory`, (t) => {
    t.is(after(first, second).memory_swap_limit_in_bytes, BigInt(swap));
  });

test('of a field and a file of v2 that are the same, the last that was given holds', (t) => {
  const field = { memory_limit_in_bytes: 8 * MiB, cpu_quota: 5000 };
  const file = { unified: { 'memory.max': '9M', 'cpu.max': '7 8', 'memory.swap.max': '0', 'memory.high': '5' } };
  t.like(after(field, file), { memory_limit_in_bytes: 0n, cpu_quota: 0n, cpu_period: 0n, ...file });
  t.like(after(file, field), {
    memory_limit_in_bytes: BigInt(8 * MiB),
    memory_swap_limit_in_bytes: 0n,
    cpu_quota: 5000n,
    unified: { 'memory.swap.max': '0', 'memory.high': '5' },
  });
});

test('a page size that is named again has the new limit, the others keep theirs', (t) => {
  const first = {
    hugepage_limits: [
      { page_size: '2MB', limit: 4n },
      { page_size: '1GB', limit: 0n },
    ],
  };
  const { hugepage_limits: limits } = after(first, { hugepage_limits: [{ page_size: '2MB', limit: 0n }] });
  t.deepEqual(limits, [
    { page_size: '1GB', limit: 0n },
    { page_size: '2MB', limit: 0n },
  ]);
});

test('what the machine does not count, or keeps within its bounds, is told as it is', (t) => {
  const request = {
    memory_limit_in_bytes: 8 * MiB,
    cpu_shares: 1n,
    hugepage_limits: [{ page_size: '2MB', limit: 0n }],
  };
  const told = inForce(request, { swap: false, hugetlb: false });
  t.like(told, { memory_limit_in_bytes: BigInt(8 * MiB), memory_swap_limit_in_bytes: 0n, cpu_shares: 2n });
  t.deepEqual(told.hugepage_limits, []);
});

test('what changes is what was named, with what shares its files', (t) => {
  const set = { memory_limit_in_bytes: 8 * MiB, cpu_period: 50_000, cpu_shares: 9, unified: { 'memory.low': '1' } };
  const changed = (request: LinuxResources) =>
    changedResources(containerResources(updatedResources(inForce(set), request), [], { pids: 5 }), request);
  const none = { devices: [], memory: {}, cpu: {}, hugepageLimits: [], unified: {} };
  t.deepEqual(changed({}), none);
  t.deepEqual(changed({ cpu_quota: 7000 }), { ...none, cpu: { quota: 7000, period: 50_000 } });
  t.deepEqual(changed({ memory_swap_limit_in_bytes: -1 }), { ...none, memory: { limit: 8 * MiB, swap: -1 } });
  t.deepEqual(changed({ unified: { 'memory.high': '7' } }), { ...none, unified: { 'memory.high': '7' } });
});

test('a file of v2 beside the field that means it is refused by both names', (t) => {
  for (const [file, request] of Object.entries({
    'memory.max': { memory_limit_in_bytes: 8 * MiB },
    'memory.swap.max': { memory_limit_in_bytes: 8 * MiB, memory_swap_limit_in_bytes: 8 * MiB },
    'cpu.weight': { cpu_shares: 5 },
    'cpu.max': { cpu_period: 5000 },
    'cpuset.cpus': { cpuset_cpus: '0' },
  }))
    t.throws(() => containerResources({ ...request, unified: { [file]: '1' } }, [], {}), {
      code: 'invalid-argument',
      message: new RegExp(`${file}: ${Object.keys(request).at(-1)}`),
    });
});
