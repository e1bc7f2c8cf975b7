import { type CgroupMode, hierarchyOf } from '../../cgroup/mode.ts';
import { readKernelFile } from '../kernel-file.ts';
import { parseCount, parseKeyed } from '../parse.ts';
import { type BlockIo, parseV1BlockIo, parseV2BlockIo } from './block-io.ts';

type Count = bigint | undefined;

/** What only metrics tell of a cgroup, beside `CgroupFigures`. What the kernel does not count is missing. */
export interface MoreFigures {
  /** Nanoseconds. */
  readonly user: Count;
  readonly system: Count;
  readonly throttled: Count;
  readonly periods: Count;
  readonly throttledPeriods: Count;
  readonly cache: Count;
  readonly mapped: Count;
  readonly kernel: Count;
  readonly peak: Count;
  readonly limitHits: Count;
  readonly oomKills: Count;
  readonly mostThreads: Count;
  readonly blockIo: readonly BlockIo[];
  readonly hugePages: readonly { readonly size: string; readonly usage: bigint; readonly most: Count }[];
}

/** `path` is below each hierarchy's mount; `pageSizes` as "2MB". */
export const readMore = (mode: CgroupMode, path: string, pageSizes: readonly string[]): MoreFigures =>
  mode.unified === undefined ? readV1(mode, path, pageSizes) : readV2(mode.unified.mount + path, pageSizes);

/** USER_HZ is 100 on all machines that Node runs on. */
const tick = 10_000_000n;

const times = (count: Count, factor: bigint): Count => (count === undefined ? undefined : count * factor);

const readV1 = (mode: CgroupMode, path: string, pageSizes: readonly string[]): MoreFigures => {
  const file = (controller: string, name: string): string | undefined => {
    const hierarchy = hierarchyOf(mode, controller);
    return hierarchy && readKernelFile(`${hierarchy.mount}${path}/${name}`);
  };
  const keyed = (controller: string, name: string) => parseKeyed(file(controller, name) ?? '');
  const cpu = keyed('cpu', 'cpu.stat');
  const spent = keyed('cpuacct', 'cpuacct.stat');
  const memory = keyed('memory', 'memory.stat');
  return {
    user: times(spent.get('user'), tick),
    system: times(spent.get('system'), tick),
    throttled: cpu.get('throttled_time'),
    periods: cpu.get('nr_periods'),
    throttledPeriods: cpu.get('nr_throttled'),
    cache: memory.get('total_cache'),
    mapped: memory.get('total_mapped_file'),
    kernel: parseCount(file('memory', 'memory.kmem.usage_in_bytes')),
    peak: parseCount(file('memory', 'memory.max_usage_in_bytes')),
    limitHits: hitsOf(file('memory', 'memory.failcnt'), file('memory', 'memory.memsw.failcnt')),
    oomKills: keyed('memory', 'memory.oom_control').get('oom_kill'),
    mostThreads: mostOf(file('pids', 'pids.max')),
    blockIo: parseV1BlockIo(
      file('blkio', 'blkio.throttle.io_service_bytes_recursive') ?? '',
      file('blkio', 'blkio.throttle.io_serviced_recursive') ?? '',
    ),
    hugePages: pageSizes.flatMap((size) => {
      const usage = parseCount(file('hugetlb', `hugetlb.${size}.usage_in_bytes`));
      const most = parseCount(file('hugetlb', `hugetlb.${size}.max_usage_in_bytes`));
      return usage === undefined ? [] : [{ size, usage, most }];
    }),
  };
};

/** With the same limit for memory and for memory with swap, which is what a limit alone means, the second one is hit. */
const hitsOf = (memory: string | undefined, withSwap: string | undefined): Count => {
  const hits = parseCount(memory);
  return hits === undefined ? undefined : hits + (parseCount(withSwap) ?? 0n);
};

const readV2 = (directory: string, pageSizes: readonly string[]): MoreFigures => {
  const file = (name: string): string | undefined => readKernelFile(`${directory}/${name}`);
  const cpu = parseKeyed(file('cpu.stat') ?? '');
  const memory = parseKeyed(file('memory.stat') ?? '');
  const events = parseKeyed(file('memory.events') ?? '');
  return {
    user: times(cpu.get('user_usec'), 1000n),
    system: times(cpu.get('system_usec'), 1000n),
    throttled: times(cpu.get('throttled_usec'), 1000n),
    periods: cpu.get('nr_periods'),
    throttledPeriods: cpu.get('nr_throttled'),
    cache: memory.get('file'),
    mapped: memory.get('file_mapped'),
    // Linux < 5.18 has only its parts.
    kernel: memory.get('kernel') ?? memory.get('slab'),
    peak: parseCount(file('memory.peak')),
    limitHits: events.get('max'),
    oomKills: events.get('oom_kill'),
    mostThreads: mostOf(file('pids.max')),
    blockIo: parseV2BlockIo(file('io.stat') ?? ''),
    hugePages: pageSizes.flatMap((size) => {
      const usage = parseCount(file(`hugetlb.${size}.current`));
      return usage === undefined ? [] : [{ size, usage, most: undefined }];
    }),
  };
};

/** "max" is 0 in metrics. */
const mostOf = (text: string | undefined): Count => (text?.trim() === 'max' ? 0n : parseCount(text));
