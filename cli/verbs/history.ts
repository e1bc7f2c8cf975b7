import type { ImageLayer, InspectResponse } from '../../api/generated/types.ts';
import { parse } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';
import { age, plain, shortId, size, table } from '../format.ts';
import { readDocument } from '../json.ts';

interface Step {
  readonly created: string;
  readonly by: string;
  readonly isEmpty: boolean;
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

/** What the image says of its making; nothing checks it, so that anything may stand there. */
const stepsOf = (document: unknown): readonly Step[] => {
  const history: unknown = (document as { history?: unknown } | undefined)?.history;
  if (!Array.isArray(history)) return [];
  return (history as readonly unknown[]).map((item) => {
    const { created, created_by: by, comment, empty_layer: empty } = (item ?? {}) as Record<string, unknown>;
    return { created: textOf(created), by: textOf(by) || textOf(comment), isEmpty: empty === true };
  });
};

const createdAgo = (text: string): string => {
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? '-' : age(BigInt(ms) * 1_000_000n);
};

const longest = 72;
const short = (text: string): string => {
  const line = plain(text.replaceAll(/\s+/g, ' ').trim());
  return line.length > longest ? `${line.slice(0, longest - 1)}…` : line;
};

const row = (step: Step | undefined, layer: ImageLayer | undefined, whole: boolean): string[] => [
  layer === undefined ? '-' : shortId(layer.digest),
  createdAgo(step?.created ?? ''),
  layer === undefined ? '0 B' : size(layer.size),
  whole ? plain(step?.by ?? '') : short(step?.by ?? ''),
];

/** Newest first. A history that does not fit the layers tells nothing about them, and they stand alone. */
export const historyTable = ({ layers, config }: InspectResponse, whole: boolean): string => {
  const steps = stepsOf(readDocument(config));
  const fits = steps.filter(({ isEmpty }) => !isEmpty).length === layers.length;
  const rest = [...layers];
  const rows = fits
    ? steps.map((step) => row(step, step.isEmpty ? undefined : rest.shift(), whole))
    : layers.map((layer) => row(undefined, layer, whole));
  return table(['LAYER', 'CREATED', 'SIZE', 'MADE BY'], rows.toReversed());
};

export const history: Verb = {
  name: 'history',
  usage: '[--whole] IMAGE',
  summary: 'the layers of an image, newest first, with sizes and what the image says of their making',
  options: [['--whole', 'do not cut long commands']],
  run: async (argv, { client, out }) => {
    const { values, positionals } = parse(argv, { whole: { type: 'boolean', default: false } });
    const [image, more] = positionals;
    if (image === undefined || more !== undefined) throw new UsageError('wants one image');
    out.write(historyTable(await client.Inspect({ image }), values.whole));
    return 0;
  },
};
