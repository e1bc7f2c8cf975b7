import { duration, parse } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';
import { filterOf } from '../events/filter.ts';
import { followEvents } from '../events/follow.ts';
import { eventLine, remembering } from '../events/shown.ts';

/** What a timer can hold. */
const mostSeconds = 2_000_000;

const timeout = (text: string): AbortSignal => {
  const seconds = duration('--for', text);
  if (seconds < 1 || seconds > mostSeconds)
    throw new UsageError(`--for: wants a time from 1s to 23d, not ${JSON.stringify(text)}`);
  return AbortSignal.timeout(seconds * 1000);
};

export const events: Verb = {
  name: 'events',
  usage: '[--state] [--filter KEY=VALUE]… [--for TIME] [--json]',
  summary: 'show what happens to pods and containers, as it happens',
  options: [
    ['-s, --state', 'first what is there now, and again when the daemon has been away'],
    [
      '-f, --filter KEY=VALUE',
      'only of this pod, container, namespace, type (created, started, stopped, deleted) or kind',
    ],
    ['--for TIME', 'end after so long: 30s, 10m, 2h'],
    ['--json', 'an object a line'],
  ],
  run: async (argv, { client, out, signal }) => {
    const { values, positionals } = parse(argv, {
      state: { type: 'boolean', short: 's', default: false },
      filter: { type: 'string', short: 'f', multiple: true, default: [] },
      for: { type: 'string' },
      json: { type: 'boolean', default: false },
    });
    if (positionals.length > 0) throw new UsageError(`not understood: ${positionals.join(' ')}`);
    const asked = filterOf(values.filter);
    const remembered = remembering();
    const end = values.for === undefined ? [] : [timeout(values.for)];
    await followEvents({
      client,
      signal: AbortSignal.any([signal, ...end]),
      state: values.state,
      show: (told) => {
        const event = remembered(told);
        if (asked(event)) out.write(values.json ? `${JSON.stringify(event)}\n` : eventLine(event));
      },
      notice: (text) => out.error(`berth events: ${text}\n`),
    });
    return 0;
  },
};
