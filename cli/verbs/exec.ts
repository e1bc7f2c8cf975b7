import { parseHead, wholeNumber } from '../arguments.ts';
import { type Context, UsageError, type Verb } from '../context.ts';
import { findContainer, listObjects } from '../find.ts';
import { runSession } from '../stream/session.ts';

export const exec: Verb = {
  name: 'exec',
  usage: '[-i] [-t] [--timeout SECONDS] CONTAINER COMMAND [ARGUMENT…]',
  summary: 'run a command in a container, end with its exit code',
  options: [
    ['-i, --interactive', 'give it our stdin'],
    ['-t, --tty', 'give it a terminal (with -i: where our stdin is one)'],
    ['--timeout SECONDS', 'end the command after so long (default: never); not with -i or -t'],
  ],
  run: async (argv, context) => {
    const { values, rest } = parseHead(argv, {
      interactive: { type: 'boolean', short: 'i', default: false },
      tty: { type: 'boolean', short: 't', default: false },
      timeout: { type: 'string' },
    });
    const [word, ...cmd] = rest;
    if (word === undefined || cmd.length === 0) throw new UsageError('wants a container and a command');
    const live = values.interactive || values.tty;
    if (live && values.timeout !== undefined) throw new UsageError('--timeout: not with -i or -t');
    const { id } = findContainer(await listObjects(context.client), word);
    if (values.timeout !== undefined)
      return runSync(context, id, cmd, wholeNumber('--timeout', values.timeout, 'seconds'));
    return runLive(context, id, cmd, values);
  },
};

const runSync = async (context: Context, id: string, cmd: readonly string[], timeout: number): Promise<number> => {
  const request = { container_id: id, cmd, timeout };
  const { stdout, stderr, exit_code: code } = await context.client.ExecSync(request, { signal: context.signal });
  context.out.write(stdout);
  context.out.error(stderr);
  return code;
};

interface Streams {
  readonly interactive: boolean;
  readonly tty: boolean;
}

const runLive = async (context: Context, id: string, cmd: readonly string[], wanted: Streams): Promise<number> => {
  const { client, terminal, signal } = context;
  const { interactive, tty } = withoutVainTerminal(context, wanted);
  const request = { container_id: id, cmd, tty, stdin: interactive, stdout: true, stderr: !tty };
  const { url } = await client.Exec(request, { signal });
  return runSession(client, url, { terminal, stdin: interactive, tty, signal });
};

/** A terminal has no end of input: a shell in one would wait for ever for what a file or a pipe has brought to its end. */
const withoutVainTerminal = ({ out, terminal }: Context, { interactive, tty }: Streams): Streams => {
  if (!interactive || !tty || terminal.isTerminal) return { interactive, tty };
  out.error('berth exec: -t is left out: our own stdin is no terminal\n');
  return { interactive, tty: false };
};
