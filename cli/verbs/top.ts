import { availableParallelism, totalmem } from 'node:os';
import { parse } from '../arguments.ts';
import { type Context, UsageError, type Verb } from '../context.ts';
import { live } from '../top/live.ts';
import { jsonOf, lookTwice, plainTable } from '../top/once.ts';
import { type SortKey, sortKeys, type View, views } from '../top/rows.ts';
import { themeOf } from '../top/theme.ts';

const oneOf = <Word extends string>(option: string, words: readonly Word[], text: string): Word => {
  const found = words.find((word) => word === text);
  if (found === undefined)
    throw new UsageError(`${option}: wants one of ${words.join(', ')}, not ${JSON.stringify(text)}`);
  return found;
};

const interval = (text: string): number => {
  const seconds = /^\d{1,4}(?:\.\d{1,3})?$/.test(text) ? Number(text) : 0;
  if (seconds < 0.2 || seconds > 3600)
    throw new UsageError(`--interval: wants seconds from 0.2 to 3600, not ${JSON.stringify(text)}`);
  return seconds * 1000;
};

/** Somebody looks, and the terminal can do more than print lines. */
const isLive = ({ terminal: { stdin, size }, out }: Context): boolean =>
  out.tty && size() !== undefined && 'isTTY' in stdin && stdin.isTTY === true && process.env.TERM !== 'dumb';

export const top: Verb = {
  name: 'top',
  usage: '[--sort KEY] [--view VIEW] [--interval SECONDS] [--once | --json]',
  summary: 'show what pods and containers use: CPU, memory, network, disk, processes',
  options: [
    [`-s, --sort ${sortKeys.join('|')}`, 'what to sort by (default: cpu); in the terminal the keys c, m, n, i, p, a'],
    [`-v, --view ${views.join('|')}`, 'pods, their containers, or both (default); in the terminal Tab'],
    ['-i, --interval SECONDS', 'between two looks (default: 2; 1 with --once and --json)'],
    ['--once', 'a table, and end; also where the output is no terminal'],
    ['--json', 'the same as one JSON document: processors, bytes, bytes a second'],
  ],
  run: async (argv, context) => {
    const { values, positionals } = parse(argv, {
      sort: { type: 'string', short: 's', default: 'cpu' },
      view: { type: 'string', short: 'v', default: 'both' },
      interval: { type: 'string', short: 'i' },
      once: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    });
    if (positionals.length > 0) throw new UsageError(`not understood: ${positionals.join(' ')}`);
    const sort: SortKey = oneOf('--sort', sortKeys, values.sort);
    const view: View = oneOf('--view', views, values.view);
    const state = { sort, view, reverse: false, offset: 0 };
    const given = values.interval === undefined ? undefined : interval(values.interval);
    if (!values.once && !values.json && isLive(context)) {
      const machine = { cores: availableParallelism(), memory: totalmem() };
      await live(context, { state, intervalMs: given ?? 2000, layout: { machine, theme: themeOf(process.env) } });
      return 0;
    }
    const pods = await lookTwice(context.client, given ?? 1000, context.signal);
    context.out.write(values.json ? jsonOf(pods, state) : plainTable(pods, state));
    return 0;
  },
};
