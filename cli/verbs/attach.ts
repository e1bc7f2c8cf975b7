import { parse } from '../arguments.ts';
import { type Context, UsageError, type Verb } from '../context.ts';
import { findContainer, listObjects } from '../find.ts';
import { runSession } from '../stream/session.ts';

/** Ctrl-p Ctrl-q. */
const detachKeys = Buffer.from([0x10, 0x11]);

export const attach: Verb = {
  name: 'attach',
  usage: '[--no-stdin] CONTAINER',
  summary: 'join the streams of a container’s main process',
  options: [['--no-stdin', 'only look']],
  run: async (argv, context) => {
    const { values, positionals } = parse(argv, { 'no-stdin': { type: 'boolean', default: false } });
    const [word] = positionals;
    if (word === undefined || positionals.length > 1) throw new UsageError('wants a container');
    const { id } = findContainer(await listObjects(context.client), word);
    const { tty, stdin } = await streamsOf(context, id);
    const input = stdin && !values['no-stdin'];
    const request = { container_id: id, tty, stdin: input, stdout: true, stderr: !tty };
    const { url } = await context.client.Attach(request, { signal: context.signal });
    const { terminal, signal } = context;
    const keys = tty && input ? { detachKeys, hint: 'Ctrl-p Ctrl-q leaves the container and lets it run' } : {};
    return runSession(context.client, url, { terminal, stdin: input, tty, signal, ...keys });
  },
};

/** What the container was made with: an attach must ask for no other terminal than there is. */
const streamsOf = async ({ client, signal }: Context, id: string): Promise<{ tty: boolean; stdin: boolean }> => {
  const { info } = await client.ContainerStatus({ container_id: id, verbose: true }, { signal });
  const { config } = JSON.parse(info.info ?? '{}') as { config?: { tty?: boolean; stdin?: boolean } };
  return { tty: config?.tty === true, stdin: config?.stdin === true };
};
