import type { Size } from '../stream/terminal.ts';
import { amount, type Column, columnsFor, type Layout, percent } from './columns.ts';
import { arranged, type PodRows, type Row } from './rows.ts';
import type { State } from './state.ts';
import { barStyle, barText, painted, type Theme } from './theme.ts';
import { fit, fitRight, widthOf } from './width.ts';

export interface Frame {
  readonly pods: readonly PodRows[];
  readonly state: State;
  readonly size: Size;
  readonly layout: Omit<Layout, 'view'>;
  /** "14:05:01". */
  readonly clock: string;
  readonly intervalMs: number;
  /** Why the figures are old; empty while they are not. */
  readonly notice: string;
}

/** Two of the head, the titles, the keys. */
const around = 4;

/** Rows of the body on a screen of so many lines. */
export const bodyHeight = ({ rows }: Size): number => Math.max(1, rows - around);

/** The screen's lines, no more than it has, each no wider than it is. */
export const render = (frame: Frame): readonly string[] => {
  const { size, state, pods, layout } = frame;
  const rows = arranged(pods, state);
  const columns = columnsFor(size.columns, state);
  const height = bodyHeight(size);
  const body = rows.slice(state.offset, state.offset + height).map((row) => line(row, columns, layout));
  const nothing = rows.length === 0 ? [fit(frame.notice === '' ? 'no pods run' : '', size.columns)] : [];
  const all = [...head(frame), titles(columns, state, layout.theme), ...body, ...nothing];
  const filled = [...all, ...Array<string>(Math.max(0, size.rows - 1 - all.length)).fill('')];
  const lines = [...filled, keys(frame, rows.length, height)].slice(-size.rows);
  return layout.theme.unicode ? lines : lines.map((text) => text.replaceAll('…', '~'));
};

const cell = (row: Row, column: Column, { theme, machine }: Omit<Layout, 'view'>): string => {
  if (column.share === undefined) return (column.right ? fitRight : fit)(column.text(row), column.width);
  const { ratio, ofLimit } = column.share(row.use, machine);
  return painted(barText(ratio, column.width, theme), barStyle(ratio, ofLimit), theme);
};

const line = (row: Row, columns: readonly Column[], layout: Omit<Layout, 'view'>): string =>
  columns
    .map((column, at) => {
      const text = cell(row, column, layout);
      return at === 0 && row.kind === 'pod' ? painted(text, 'bold', layout.theme) : text;
    })
    .join(' ');

const titles = (columns: readonly Column[], { sort, reverse }: State, theme: Theme): string => {
  const mark = theme.unicode ? (reverse ? '▲' : '▼') : reverse ? '^' : 'v';
  return columns
    .map(({ title, width, right, sort: key }) => {
      const sorted = key === sort;
      const text = sorted ? `${fit(title, Math.min(widthOf(title), width - 1))}${mark}` : title;
      return painted((right ? fitRight : fit)(text, width), sorted ? 'reverse' : 'dim', theme);
    })
    .join(' ');
};

const head = ({ pods, size, clock, intervalMs, notice, layout: { machine, theme } }: Frame): readonly string[] => {
  const containers = pods.reduce((sum, pod) => sum + pod.containers.length, 0);
  const add = (figure: 'cpu' | 'memory'): number => pods.reduce((sum, { row }) => sum + (row.use[figure] ?? 0), 0);
  const [cpu, memory] = [add('cpu'), add('memory')];
  const first = `berth top  ${clock}  ${pods.length} pods, ${containers} containers, every ${intervalMs / 1000} s`;
  const told =
    notice === '' ? painted(fit(first, size.columns), 'bold', theme) : painted(fit(notice, size.columns), 'red', theme);
  const gauge = (name: string, ratio: number, text: string) => ({ name, ratio, text });
  const gauges = [
    gauge('CPU', cpu / machine.cores, `${percent(cpu)} of ${machine.cores * 100} %`),
    gauge('memory', memory / machine.memory, `${amount(memory)} of ${amount(machine.memory)}`),
  ];
  const width = Math.max(0, Math.min(20, Math.floor(size.columns / 2) - 24));
  const bars = gauges.map(({ name, ratio, text }) => {
    const drawn = width === 0 ? '' : ` ${painted(barText(ratio, width, theme), barStyle(ratio, true), theme)}`;
    return { drawn: `${name}${drawn} ${text}`, width: name.length + text.length + 1 + (width === 0 ? 0 : width + 1) };
  });
  const whole = bars.reduce((sum, bar) => sum + bar.width + 3, -3) <= size.columns;
  return [told, whole ? bars.map(({ drawn }) => drawn).join('   ') : ''];
};

const help = 'c CPU  m memory  n network  i disk  p pids  a name  r reverse  Tab view  q quit';

const keys = ({ state, size, layout: { theme } }: Frame, count: number, height: number): string => {
  const shown = count > height ? `${state.offset + 1}-${Math.min(count, state.offset + height)} of ${count}  ` : '';
  return painted(fit(`${shown}${help}`, size.columns), 'dim', theme);
};
