import { type CgroupMode, hierarchyOf } from '../../cgroup/mode.ts';
import { countIn, Keys } from '../counts.ts';
import { readOnce, text } from '../kept-files.ts';
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
  /** Beyond the quota, by what was saved of it. */
  readonly burst: Count;
  readonly burstPeriods: Count;
  readonly kernel: Count;
  readonly peak: Count;
  readonly limitHits: Count;
  readonly oomKills: Count;
  readonly mostThreads: Count;
  readonly blockIo: readonly BlockIo[];
  readonly hugePages: readonly { readonly size: string; readonly usage: bigint; readonly most: Count }[];
}

/** Of the cgroup at a path below each hierarchy's mount; `pageSizes` as "2MB". */
export const moreReader = (mode: CgroupMode, pageSizes: readonly string[]): ((path: string) => MoreFigures) => {
  const { unified } = mode;
  if (unified !== undefined) return (path) => readV2(unified.mount + path, pageSizes);
  const mounts = new Map(v1Controllers.map((name) => [name, hierarchyOf(mode, name)?.mount]));
  return (path) => readV1(mounts, path, pageSizes);
};

/** USER_HZ is 100 on all machines that Node runs on. */
const tick = 10_000_000n;

const times = (count: Count, factor: bigint): Count => (count === undefined ? undefined : count * factor);

const count = (path: string): Count => countIn(text, 0, readOnce(path));
const keyed = (keys: Keys, path: string): readonly Count[] => keys.in(text, readOnce(path));
const whole = (path: string): string => text.toString('latin1', 0, Math.max(0, readOnce(path)));

const v1Controllers = ['cpu', 'cpuacct', 'memory', 'pids', 'blkio', 'hugetlb'] as const;

type Mounts = ReadonlyMap<(typeof v1Controllers)[number], string | undefined>;

const v1Keys = {
  cpu: new Keys('throttled_time', 'nr_periods', 'nr_throttled', 'burst_time', 'nr_bursts'),
  spent: new Keys('user', 'system'),
  oom: new Keys('oom_kill'),
};

const readV1 = (mounts: Mounts, path: string, pageSizes: readonly string[]): MoreFigures => {
  const file = (controller: (typeof v1Controllers)[number], name: string): string => {
    const mount = mounts.get(controller);
    return mount === undefined ? '' : `${mount}${path}/${name}`;
  };
  const [throttled, periods, throttledPeriods, burst, burstPeriods] = keyed(v1Keys.cpu, file('cpu', 'cpu.stat'));
  const [user, system] = keyed(v1Keys.spent, file('cpuacct', 'cpuacct.stat'));
  const [oomKills] = keyed(v1Keys.oom, file('memory', 'memory.oom_control'));
  return {
    user: times(user, tick),
    system: times(system, tick),
    throttled,
    periods,
    throttledPeriods,
    burst,
    burstPeriods,
    kernel: count(file('memory', 'memory.kmem.usage_in_bytes')),
    peak: count(file('memory', 'memory.max_usage_in_bytes')),
    limitHits: hitsOf(count(file('memory', 'memory.failcnt')), count(file('memory', 'memory.memsw.failcnt'))),
    oomKills,
    mostThreads: mostIn(file('pids', 'pids.max')),
    blockIo: parseV1BlockIo(
      whole(file('blkio', 'blkio.throttle.io_service_bytes_recursive')),
      whole(file('blkio', 'blkio.throttle.io_serviced_recursive')),
    ),
    hugePages: pageSizes.flatMap((size) => {
      const usage = count(file('hugetlb', `hugetlb.${size}.usage_in_bytes`));
      const most = count(file('hugetlb', `hugetlb.${size}.max_usage_in_bytes`));
      return usage === undefined ? [] : [{ size, usage, most }];
    }),
  };
};

/** With the same limit for memory and for memory with swap, which is what a limit alone means, the second one is hit. */
const hitsOf = (memory: Count, withSwap: Count): Count =>
  memory === undefined ? undefined : memory + (withSwap ?? 0n);

const v2Keys = {
  cpu: new Keys('user_usec', 'system_usec', 'throttled_usec', 'nr_periods', 'nr_throttled', 'burst_usec', 'nr_bursts'),
  events: new Keys('max', 'oom_kill'),
  memory: new Keys('kernel', 'slab'),
};

const readV2 = (directory: string, pageSizes: readonly string[]): MoreFigures => {
  const [user, system, throttled, periods, throttledPeriods, ...bursts] = keyed(v2Keys.cpu, `${directory}/cpu.stat`);
  const [burst, burstPeriods] = bursts;
  const [limitHits, oomKills] = keyed(v2Keys.events, `${directory}/memory.events`);
  // Linux < 5.18 has only its parts.
  const [kernel, slab] = keyed(v2Keys.memory, `${directory}/memory.stat`);
  return {
    user: times(user, 1000n),
    system: times(system, 1000n),
    throttled: times(throttled, 1000n),
    periods,
    throttledPeriods,
    burst: times(burst, 1000n),
    burstPeriods,
    kernel: kernel ?? slab,
    peak: count(`${directory}/memory.peak`),
    limitHits,
    oomKills,
    mostThreads: mostIn(`${directory}/pids.max`),
    blockIo: parseV2BlockIo(whole(`${directory}/io.stat`)),
    hugePages: pageSizes.flatMap((size) => {
      const usage = count(`${directory}/hugetlb.${size}.current`);
      return usage === undefined ? [] : [{ size, usage, most: undefined }];
    }),
  };
};

/** "max" is 0 in metrics. */
const mostIn = (path: string): Count => {
  const most = whole(path).trim();
  return most === 'max' ? 0n : countIn(Buffer.from(most), 0, most.length);
};
