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
    ['-t, --tty', 'give it a terminal'],
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

const runLive = async (
  { client, terminal, signal }: Context,
  id: string,
  cmd: readonly string[],
  { interactive, tty }: { readonly interactive: boolean; readonly tty: boolean },
): Promise<number> => {
  const request = { container_id: id, cmd, tty, stdin: interactive, stdout: true, stderr: !tty };
  const { url } = await client.Exec(request, { signal });
  return runSession(client, url, { terminal, stdin: interactive, tty, signal });
};
