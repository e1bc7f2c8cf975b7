import type { Counted, Counters, Sample } from './sample.ts';

type Figure = number | undefined;

/** How a pod or a container uses the machine now: processors, bytes, and bytes a second. */
export interface Use {
  readonly cpu: Figure;
  readonly cpuLimit: Figure;
  readonly memory: Figure;
  readonly memoryLimit: Figure;
  readonly rx: Figure;
  readonly tx: Figure;
  readonly read: Figure;
  readonly write: Figure;
  readonly pids: Figure;
}

export interface Row {
  readonly kind: 'pod' | 'container';
  readonly id: string;
  readonly namespace: string;
  readonly pod: string;
  /** Of the container; empty for a pod. */
  readonly name: string;
  readonly use: Use;
}

export interface PodRows {
  readonly row: Row;
  readonly containers: readonly Row[];
}

export const sortKeys = ['cpu', 'memory', 'network', 'io', 'pids', 'name'] as const;
export type SortKey = (typeof sortKeys)[number];

export const views = ['both', 'pods', 'containers'] as const;
export type View = (typeof views)[number];

const second = 1e9;

/** A counter that went back is another's: a container that was made again. */
const rate = (now: Figure, before: Figure, seconds: number): Figure =>
  now === undefined || before === undefined || seconds <= 0 || now < before ? undefined : (now - before) / seconds;

/** The daemon's times are those of the figures, but of a clock that may have been set in between: then our own, a little less exact. */
const mostApart = 0.5;

const cpuOf = (now: Counters, before: Counters | undefined, seconds: number): Figure => {
  const told = now.nanoCores === undefined ? undefined : now.nanoCores / second;
  if (before?.cpu === undefined || now.cpu === undefined || now.at === before.at || now.cpu < before.cpu) return told;
  const between = Number(now.at - before.at) / second;
  return rate(Number(now.cpu - before.cpu) / second, 0, Math.abs(between - seconds) > mostApart ? seconds : between);
};

const useOf = (now: Counters, before: Counters | undefined, seconds: number): Use => ({
  cpu: cpuOf(now, before, seconds),
  cpuLimit: now.cpuLimit === undefined ? undefined : now.cpuLimit / second,
  memory: now.memory,
  memoryLimit: now.memoryLimit,
  rx: rate(now.received, before?.received, seconds),
  tx: rate(now.sent, before?.sent, seconds),
  read: rate(now.read, before?.read, seconds),
  write: rate(now.written, before?.written, seconds),
  pids: now.pids,
});

/** Rates are those between the two looks; without a look before there are none but the daemon's own of the CPU. */
export const rowsOf = (now: Sample, before: Sample | undefined): readonly PodRows[] => {
  const seconds = before === undefined ? 0 : (now.at - before.at) / 1000;
  const known = new Map<string, Counters>(
    before?.pods.flatMap((pod) => [pod, ...pod.containers].map(({ id, counters }) => [id, counters] as const)),
  );
  const use = ({ id, counters }: Counted): Use => useOf(counters, known.get(id), seconds);
  return now.pods.map((pod) => {
    const of = { namespace: pod.namespace, pod: pod.name };
    return {
      row: { kind: 'pod', id: pod.id, ...of, name: '', use: use(pod) },
      containers: pod.containers.map((one) => ({
        kind: 'container',
        id: one.id,
        ...of,
        name: one.name,
        use: use(one),
      })),
    };
  });
};

const sum = (a: Figure, b: Figure): Figure => (a === undefined ? b : a + (b ?? 0));

const figures: Readonly<Record<Exclude<SortKey, 'name'>, (use: Use) => Figure>> = {
  cpu: ({ cpu }) => cpu,
  memory: ({ memory }) => memory,
  network: ({ rx, tx }) => sum(rx, tx),
  io: ({ read, write }) => sum(read, write),
  pids: ({ pids }) => pids,
};

const nameOf = ({ namespace, pod, name }: Row): string => `${namespace}\u0000${pod}\u0000${name}`;

const byName = (a: Row, b: Row): number => (nameOf(a) < nameOf(b) ? -1 : nameOf(a) > nameOf(b) ? 1 : 0);

/** The largest first, names from a to z; what has no figure stands last, also when `reverse` turns the others round. */
const compare = (key: SortKey, reverse: boolean) => {
  const sign = reverse ? -1 : 1;
  if (key === 'name') return (a: Row, b: Row): number => sign * byName(a, b);
  const figure = figures[key];
  return (a: Row, b: Row): number => {
    const [left, right] = [figure(a.use), figure(b.use)];
    if (left === undefined || right === undefined) return left === right ? byName(a, b) : left === undefined ? 1 : -1;
    return sign * (right - left) || byName(a, b);
  };
};

/** The rows in the order of the screen. */
export const arranged = (
  pods: readonly PodRows[],
  { view, sort, reverse }: { readonly view: View; readonly sort: SortKey; readonly reverse: boolean },
): readonly Row[] => {
  const order = compare(sort, reverse);
  if (view === 'containers') return pods.flatMap(({ containers }) => containers).toSorted(order);
  const sorted = pods.toSorted((a, b) => order(a.row, b.row));
  return sorted.flatMap(({ row, containers }) => (view === 'pods' ? [row] : [row, ...containers.toSorted(order)]));
};
