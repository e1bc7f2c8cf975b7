import { parse, wholeNumber } from '../arguments.ts';
import { type Context, type Output, UsageError, type Verb } from '../context.ts';
import { findContainer, listObjects } from '../find.ts';
import { contentOf, type LogLine } from '../log-lines.ts';
import { followLog, lastLines, readLog } from '../log-reader.ts';
import { logPathOf, statusOf } from '../pods.ts';
import { exitWatch } from '../running.ts';

const show = (line: LogLine, timestamps: boolean, out: Output): void => {
  const content = contentOf(line);
  const bytes = timestamps ? Buffer.concat([Buffer.from(`${line.time} `), content]) : content;
  if (line.stream === 'stdout') out.write(bytes);
  else out.error(bytes);
};

interface Look {
  readonly tail: number;
  readonly timestamps: boolean;
}

const follow = async (
  path: string,
  id: string,
  { tail, timestamps }: Look,
  { client, out, signal }: Context,
): Promise<void> => {
  const ended = exitWatch(client, id);
  for await (const line of followLog(path, async () => signal.aborted || ended(), tail)) show(line, timestamps, out);
};

export const logs: Verb = {
  name: 'logs',
  usage: '[--follow] [--tail N] [--timestamps] CONTAINER',
  summary: 'show what a container wrote',
  options: [
    ['-f, --follow', 'go on until the container ends'],
    ['-n, --tail N', 'only the last N lines of what is there'],
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
    const tail = [undefined, 'all', '-1'].includes(values.tail)
      ? Number.POSITIVE_INFINITY
      : wholeNumber('--tail', values.tail ?? '', 'lines');
    const { id } = findContainer(await listObjects(context.client), word);
    const path = logPathOf(await statusOf(context.client, id));
    const look = { tail, timestamps: values.timestamps };
    if (values.follow) await follow(path, id, look, context);
    else if (tail === Number.POSITIVE_INFINITY)
      for await (const line of readLog(path)) show(line, look.timestamps, context.out);
    else for (const line of await lastLines(readLog(path), tail)) show(line, look.timestamps, context.out);
    return 0;
  },
};
