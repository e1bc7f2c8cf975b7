import { parse, wholeNumber } from '../arguments.ts';
import { type Context, type Output, UsageError, type Verb } from '../context.ts';
import { findContainer, listObjects } from '../find.ts';
import { contentOf, type LogLine } from '../log-lines.ts';
import { followLog, readLog } from '../log-reader.ts';
import { logPathOf, statusOf } from '../pods.ts';
import { exitWatch } from '../running.ts';

const show = (line: LogLine, timestamps: boolean, out: Output): void => {
  const content = contentOf(line);
  const bytes = timestamps ? Buffer.concat([Buffer.from(`${line.time} `), content]) : content;
  if (line.stream === 'stdout') out.write(bytes);
  else out.error(bytes);
};

/** The last `count` lines; parts of one long line count as one. */
const lastLines = async (path: string, count: number): Promise<LogLine[]> => {
  const kept: LogLine[] = [];
  let whole = 0;
  for await (const line of readLog(path)) {
    kept.push(line);
    if (line.end) whole += 1;
    while (whole > count && kept.length > 0) if (kept.shift()?.end === true) whole -= 1;
  }
  return kept;
};

const follow = async (
  path: string,
  id: string,
  timestamps: boolean,
  { client, out, signal }: Context,
): Promise<void> => {
  const ended = exitWatch(client, id);
  for await (const line of followLog(path, async () => signal.aborted || ended())) show(line, timestamps, out);
};

export const logs: Verb = {
  name: 'logs',
  usage: '[--follow | --tail N] [--timestamps] CONTAINER',
  summary: 'show what a container wrote',
  options: [
    ['-f, --follow', 'go on until the container ends'],
    ['-n, --tail N', 'only the last N lines'],
    ['-t, --timestamps', 'with the time of each line'],
  ],
  run: async (argv, context) => {
    const { values, positionals } = parse(argv, {
      follow: { type: 'boolean', short: 'f', default: false },
      tail: { type: 'string', short: 'n' },
      timestamps: { type: 'boolean', short: 't', default: false },
    });
    const [word, more] = positionals;
    if (word === undefined || more !== undefined) throw new UsageError('wants one container');
    if (values.follow && values.tail !== undefined) throw new UsageError('--follow and --tail do not go together');
    const count = values.tail === undefined ? Number.POSITIVE_INFINITY : wholeNumber('--tail', values.tail, 'lines');
    const { id } = findContainer(await listObjects(context.client), word);
    const path = logPathOf(await statusOf(context.client, id));
    if (values.follow) await follow(path, id, values.timestamps, context);
    else if (values.tail === undefined)
      for await (const line of readLog(path)) show(line, values.timestamps, context.out);
    else for (const line of await lastLines(path, count)) show(line, values.timestamps, context.out);
    return 0;
  },
};
