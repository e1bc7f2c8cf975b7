import { parseHead, wholeNumber } from '../arguments.ts';
import { UsageError, type Verb } from '../context.ts';
import { findContainer, listObjects } from '../find.ts';

export const exec: Verb = {
  name: 'exec',
  usage: '[--timeout SECONDS] CONTAINER COMMAND [ARGUMENT…]',
  summary: 'run a command in a container, end with its exit code',
  options: [['--timeout SECONDS', 'end the command after so long (default: never)']],
  run: async (argv, { client, out, signal }) => {
    const { values, rest } = parseHead(argv, { timeout: { type: 'string', default: '0' } });
    const [word, ...cmd] = rest;
    if (word === undefined || cmd.length === 0) throw new UsageError('wants a container and a command');
    const timeout = wholeNumber('--timeout', values.timeout, 'seconds');
    const { id } = findContainer(await listObjects(client), word);
    const { stdout, stderr, exit_code: code } = await client.ExecSync({ container_id: id, cmd, timeout }, { signal });
    out.write(stdout);
    out.error(stderr);
    return code;
  },
};
