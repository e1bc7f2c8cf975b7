import type { CallSettings, Client } from '../../api/client.ts';
import type {
  ContainerActivity,
  ContainerStats,
  CpuUsage,
  MemoryUsage,
  PodSandboxStats,
} from '../../api/generated/types.ts';
import { BerthError } from '../../base/errors.ts';

type Count = number | undefined;

/** What was counted of a pod or a container at one moment. Times in nanoseconds since 1970 by the node's clock, sizes in bytes; what nobody counts is missing. */
export interface Counters {
  readonly at: bigint;
  readonly cpu: bigint | undefined;
  /** The daemon's own rate, in nanoseconds a second. */
  readonly nanoCores: Count;
  readonly cpuLimit: Count;
  readonly memory: Count;
  readonly memoryLimit: Count;
  /** Since the start. */
  readonly received: Count;
  readonly sent: Count;
  readonly read: Count;
  readonly written: Count;
  readonly pids: Count;
}

export interface Counted {
  readonly id: string;
  readonly name: string;
  readonly counters: Counters;
}

export interface CountedPod extends Counted {
  readonly namespace: string;
  readonly containers: readonly Counted[];
}

/** One look at everything that runs: `at` in milliseconds of a clock that nobody sets. */
export interface Sample {
  readonly at: number;
  readonly pods: readonly CountedPod[];
}

type Activities = ReadonlyMap<string, ContainerActivity>;

/** A daemon that hangs is told of, and asked again. */
const answerMs = 10_000;

export const takeSample = async (client: Client, given: CallSettings): Promise<Sample> => {
  const settings = { timeoutMs: answerMs, ...given };
  const [pods, activities] = await Promise.all([podStats(client, settings), activity(client, settings)]);
  return { at: performance.now(), pods: pods.map((pod) => countedPod(pod, activities)) };
};

const podStats = async (client: Client, settings: CallSettings): Promise<readonly PodSandboxStats[]> => {
  const all: PodSandboxStats[] = [];
  for await (const { pod_sandbox_stats: page } of client.StreamPodSandboxStats({}, settings)) all.push(...page);
  return all;
};

/** A daemon that is older does not know the call: its columns are empty. */
const activity = async (client: Client, settings: CallSettings): Promise<Activities> => {
  try {
    const { containers } = await client.Activity({}, settings);
    return new Map(containers.map((one) => [one.container_id, one]));
  } catch (error) {
    if (error instanceof BerthError && error.code === 'unimplemented') return new Map();
    throw error;
  }
};

const numberOf = (value: { readonly value: bigint } | undefined): Count =>
  value === undefined ? undefined : Number(value.value);

const shared = (cpu: CpuUsage | undefined, memory: MemoryUsage | undefined) => {
  const available = numberOf(memory?.available_bytes);
  const used = numberOf(memory?.working_set_bytes);
  return {
    at: cpu?.timestamp ?? memory?.timestamp ?? 0n,
    cpu: cpu?.usage_core_nano_seconds?.value,
    nanoCores: numberOf(cpu?.usage_nano_cores),
    memory: used,
    // CRI tells what is left of a limit, and nothing without one.
    memoryLimit: available === undefined || used === undefined ? undefined : used + available,
  };
};

const countedContainer = ({ attributes, cpu, memory }: ContainerStats, activities: Activities): Counted => {
  const id = attributes?.id ?? '';
  const found = activities.get(id);
  const counters = {
    ...shared(cpu, memory),
    cpuLimit: Number(found?.cpu_limit_nano_cores ?? 0n) || undefined,
    received: undefined,
    sent: undefined,
    read: found && Number(found.read_bytes),
    written: found && Number(found.written_bytes),
    pids: found && Number(found.threads),
  };
  return { id, name: attributes?.metadata?.name ?? '', counters };
};

const sumOf = (counts: readonly Count[]): Count => {
  const known = counts.filter((count) => count !== undefined);
  return known.length === 0 ? undefined : known.reduce((total, count) => total + count, 0);
};

/** The limit of all together, which there is only when each has one. */
const limitOf = (limits: readonly Count[]): Count => (limits.includes(undefined) ? undefined : sumOf(limits));

const countedPod = ({ attributes, linux }: PodSandboxStats, activities: Activities): CountedPod => {
  const containers = (linux?.containers ?? []).filter(({ cpu }) => cpu !== undefined);
  const counted = containers.map((container) => countedContainer(container, activities));
  const of = (key: 'read' | 'written' | 'pids'): Count => sumOf(counted.map(({ counters }) => counters[key]));
  const { default_interface: main, interfaces = [] } = linux?.network ?? {};
  // A daemon of the release before has the default beside the others, not among them.
  const isAmong = main === undefined || interfaces.some(({ name }) => name === main.name);
  const links = isAmong ? interfaces : [main, ...interfaces];
  const own = shared(linux?.cpu, linux?.memory);
  const counters = {
    ...own,
    cpuLimit: limitOf(counted.map(({ counters }) => counters.cpuLimit)),
    memoryLimit: own.memoryLimit ?? limitOf(counted.map(({ counters }) => counters.memoryLimit)),
    received: sumOf(links.map(({ rx_bytes }) => numberOf(rx_bytes))),
    sent: sumOf(links.map(({ tx_bytes }) => numberOf(tx_bytes))),
    read: of('read'),
    written: of('written'),
    pids: numberOf(linux?.process?.process_count) ?? of('pids'),
  };
  const { name = '', namespace = '' } = attributes?.metadata ?? {};
  return { id: attributes?.id ?? '', name, namespace, counters, containers: counted };
};
