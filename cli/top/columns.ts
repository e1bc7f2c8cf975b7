import { plain } from '../format.ts';
import type { Row, SortKey, Use, View } from './rows.ts';
import type { Theme } from './theme.ts';

/** The machine's own, where a container has no limit. */
export interface Machine {
  readonly cores: number;
  readonly memory: number;
}

export interface Layout {
  readonly view: View;
  readonly machine: Machine;
  readonly theme: Theme;
}

export interface Column {
  readonly title: string;
  /** Columns of the terminal. */
  readonly width: number;
  readonly right: boolean;
  readonly sort?: SortKey;
  /** For a bar: how full, of what. */
  readonly share?: (use: Use, machine: Machine) => Share;
  readonly text: (row: Row) => string;
}

/** `ofLimit`: of a limit of its own, else of the machine. */
export interface Share {
  readonly ratio: number;
  readonly ofLimit: boolean;
}

const units = ['', 'K', 'M', 'G', 'T', 'P'];

/** Bytes in five characters at most: "0", "512", "1.5K", "340M". */
export const amount = (bytes: number): string => {
  let value = bytes;
  let unit = 0;
  while (Math.round(value) >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const text = unit > 0 && value < 9.95 ? value.toFixed(1) : `${Math.round(value)}`;
  return `${text}${units[unit]}`;
};

/** Of one processor: 150 % are one and a half. */
export const percent = (cores: number): string => {
  const value = cores * 100;
  return value < 99.95 ? value.toFixed(1) : `${Math.round(value)}`;
};

const or =
  (show: (figure: number) => string) =>
  (figure: number | undefined): string =>
    figure === undefined ? '-' : show(figure);

const sized = or(amount);

const shareOf =
  (
    used: (use: Use) => number | undefined,
    limit: (use: Use) => number | undefined,
    all: (machine: Machine) => number,
  ) =>
  (use: Use, machine: Machine): Share => {
    const most = limit(use) ?? all(machine);
    return { ratio: most > 0 ? (used(use) ?? 0) / most : 0, ofLimit: limit(use) !== undefined };
  };

const cpuShare = shareOf(
  ({ cpu }) => cpu,
  ({ cpuLimit }) => cpuLimit,
  ({ cores }) => cores,
);
const memoryShare = shareOf(
  ({ memory }) => memory,
  ({ memoryLimit }) => memoryLimit,
  ({ memory }) => memory,
);

const figure = (title: string, width: number, text: (use: Use) => string, sort?: SortKey): Column => ({
  title,
  width,
  right: true,
  ...(sort === undefined ? {} : { sort }),
  text: ({ use }) => text(use),
});

const bar = (width: number, share: NonNullable<Column['share']>): Column => ({
  title: '',
  width,
  right: false,
  share,
  text: () => '',
});

/** What a row is called where it stands. */
export const nameIn =
  (view: View) =>
  ({ kind, namespace, pod, name }: Row): string => {
    const full = [namespace, pod, ...(name === '' ? [] : [name])].map(plain);
    return kind === 'container' && view === 'both' ? `  ${plain(name)}` : full.join('/');
  };

const leastName = 20;
const leastBar = 5;
const mostBar = 16;

const total = (columns: readonly Column[]): number => columns.reduce((sum, { width }) => sum + width + 1, 0);

/** In the order in which they are given up where there is no room; the number is their place on the screen. */
const others: readonly (readonly [number, Column])[] = [
  [2, bar(leastBar, cpuShare)],
  [5, bar(leastBar, memoryShare)],
  [10, figure('PIDS', 5, ({ pids }) => or(String)(pids), 'pids')],
  [6, figure('NET IN', 6, ({ rx }) => sized(rx), 'network')],
  [7, figure('OUT', 5, ({ tx }) => sized(tx))],
  [8, figure('READ', 5, ({ read }) => sized(read), 'io')],
  [9, figure('WRITE', 5, ({ write }) => sized(write))],
  [4, figure('LIMIT', 5, ({ memoryLimit }) => sized(memoryLimit))],
];

/** The columns that fit, with the name as wide as what is left. Bars grow where there is room. */
export const columnsFor = (width: number, { view }: Pick<Layout, 'view'>): readonly Column[] => {
  const always: readonly (readonly [number, Column])[] = [
    [1, figure('CPU %', 6, ({ cpu }) => or(percent)(cpu), 'cpu')],
    [3, figure('MEM', 6, ({ memory }) => sized(memory), 'memory')],
  ];
  const chosen = always.filter((_, at) => total(always.slice(0, at + 1).map(([, column]) => column)) < width);
  for (const one of others)
    if (total([...chosen, one].map(([, column]) => column)) + leastName <= width) chosen.push(one);
    else break;
  const placed = chosen.toSorted(([a], [b]) => a - b).map(([, column]) => column);
  const spare = width - total(placed) - leastName;
  const bars = placed.filter(({ share }) => share !== undefined).length;
  const more = bars === 0 ? 0 : Math.max(0, Math.min(mostBar - leastBar, Math.floor(spare / 3 / bars)));
  const grown = placed.map((column) =>
    column.share === undefined ? column : { ...column, width: column.width + more },
  );
  const name: Column = {
    title: view === 'containers' ? 'CONTAINER' : 'POD',
    width: Math.max(1, width - total(grown)),
    right: false,
    sort: 'name',
    text: nameIn(view),
  };
  return [name, ...grown];
};
