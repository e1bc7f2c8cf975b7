import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from '../../api/client.ts';
import { shortId, table } from '../format.ts';
import { amount, nameIn, percent } from './columns.ts';
import { arranged, type PodRows, type Row, rowsOf } from './rows.ts';
import { takeSample } from './sample.ts';
import type { State } from './state.ts';

/** Two looks, and what was used in between. */
export const lookTwice = async (
  client: Client,
  intervalMs: number,
  signal: AbortSignal,
): Promise<readonly PodRows[]> => {
  const before = await takeSample(client, { signal });
  await sleep(intervalMs, undefined, { signal });
  return rowsOf(await takeSample(client, { signal }), before);
};

const or = (show: (figure: number) => string, figure: number | undefined): string =>
  figure === undefined ? '-' : show(figure);

const cells = (row: Row, state: State): string[] => {
  const { cpu, cpuLimit, memory, memoryLimit, rx, tx, read, write, pids } = row.use;
  const share = memory === undefined || memoryLimit === undefined ? undefined : (memory / memoryLimit) * 100;
  return [
    nameIn(state.view === 'both' ? 'containers' : state.view)(row),
    shortId(row.id),
    or(percent, cpu),
    or(percent, cpuLimit),
    or(amount, memory),
    or(amount, memoryLimit),
    or((figure) => figure.toFixed(1), share),
    ...[rx, tx, read, write].map((figure) => or(amount, figure)),
    or(String, pids),
  ];
};

const header = [
  'NAME',
  'ID',
  'CPU %',
  'CPU LIMIT %',
  'MEM',
  'MEM LIMIT',
  'MEM %',
  'NET IN/s',
  'OUT/s',
  'READ/s',
  'WRITE/s',
  'PIDS',
];

/** A table for people without a terminal, and for scripts that cut columns. */
export const plainTable = (pods: readonly PodRows[], state: State): string =>
  table(
    header,
    arranged(pods, state).map((row) => cells(row, state)),
  );

const object = ({ id, namespace, pod, name, use }: Row): object => ({
  id,
  namespace,
  pod,
  ...(name === '' ? {} : { name }),
  ...use,
});

/** Processors as numbers, bytes, and bytes a second; what nobody counts is missing. */
export const jsonOf = (pods: readonly PodRows[], state: State): string => {
  const of = new Map(pods.map(({ row, containers }) => [row.id, containers]));
  const rows = arranged(pods, { ...state, view: 'pods' });
  const order = { ...state, view: 'containers' } as const;
  const whole = rows.map((row) => ({
    ...object(row),
    containers: arranged([{ row, containers: of.get(row.id) ?? [] }], order).map(object),
  }));
  return `${JSON.stringify({ time: new Date().toISOString(), pods: whole })}\n`;
};
